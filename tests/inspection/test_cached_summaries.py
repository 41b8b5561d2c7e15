"""A summary is made once, and again after damage or a change of what it depends on."""

import pytest

from budwood.files import home
from budwood.inspection import summary as cached_summaries
from budwood.inspection.summarizing import summarize
from budwood.inspection.summary import cached_summary
from budwood.surgery.freezing import freeze


@pytest.fixture(scope="module")
def summary():
    from torch import nn

    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.Flatten(), nn.Linear(4 * 15 * 15, 2))
    freeze(net, "0")
    return summarize(net, (3, 32, 32))


def made(summary, about="net"):
    """How often a summary is made when it is asked for; it is always the same."""
    calls = []
    assert cached_summary(about, lambda: calls.append(1) or summary) == summary
    return len(calls)


def test_it_is_made_once(budwood_home, summary):
    assert [made(summary), made(summary)] == [1, 0]


def test_what_changes_the_network_makes_another(budwood_home, summary):
    assert [made(summary, ["net", n]) for n in (1, 2, 1)] == [1, 1, 0]


@pytest.mark.parametrize("damage", ["cut", "digit", "empty", "binary"])
def test_a_damaged_file_is_made_again(budwood_home, summary, damage):
    made(summary)
    (file,) = (home() / "summaries").iterdir()
    whole = file.read_bytes()
    file.write_bytes({
        "cut": whole[:-20], "digit": whole.replace(b"15", b"16"), "empty": b"", "binary": b"\xff\n"
    }[damage])  # fmt: skip
    assert [made(summary), made(summary)] == [1, 0]
    assert file.read_bytes() == whole


def test_another_version_or_setting_makes_another(budwood_home, summary, monkeypatch):
    made(summary)
    monkeypatch.setenv("TIMM_FUSED_ATTN", "0")
    assert made(summary) == 1
    monkeypatch.setattr(cached_summaries, "installed_version", lambda name: "99")
    assert made(summary) == 1


def test_where_nothing_can_be_kept_it_is_made_each_time(tmp_path, monkeypatch, summary):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BUDWOOD_HOME", str(tmp_path / "file"))
    assert [made(summary), made(summary)] == [1, 1]
