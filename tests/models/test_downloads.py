"""Downloading: what arrives is whole and checked, and an interruption costs nothing twice."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from budwood.errors import WeightsError
from budwood.models.downloads import fetch

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def test_the_file_arrives_whole_and_leaves_nothing_beside_it(site, tmp_path):
    path = fetch(site.url, sha256=site.sha256, folder=tmp_path / "new")
    assert path == tmp_path / "new" / "weights.pth"
    assert path.read_bytes() == site.content
    assert {file.name for file in path.parent.iterdir()} <= {path.name, ".weights.pth.lock"}


def test_it_can_be_given_another_name(site, tmp_path):
    assert fetch(site.url, sha256=None, folder=tmp_path, name="mine.pth").name == "mine.pth"


def test_a_file_that_is_here_needs_no_network(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"here")
    path = fetch("https://nowhere.invalid/weights.pth", sha256="ab", folder=tmp_path)
    assert path.read_bytes() == b"here"


def test_progress_ends_with_all_bytes(site, tmp_path):
    calls = []
    fetch(site.url, sha256=None, folder=tmp_path, on_progress=lambda *now: calls.append(now))
    assert calls[-1] == (len(site.content), len(site.content))
    assert calls == sorted(calls)


def test_a_lost_connection_is_taken_up_where_it_broke(site, tmp_path):
    site.cuts = [1000, 5000]
    path = fetch(site.url, sha256=site.sha256, folder=tmp_path)
    assert path.read_bytes() == site.content
    assert site.asked == [None, "bytes=1000-", "bytes=6000-"]


def test_progress_goes_on_after_a_lost_connection(site, tmp_path):
    site.cuts, calls = [1000], []
    fetch(site.url, sha256=None, folder=tmp_path, on_progress=lambda *now: calls.append(now))
    assert calls[0] == (1000, len(site.content))
    assert calls[-1] == (len(site.content), len(site.content))
    assert calls == sorted(calls)


def test_connections_that_bring_bytes_do_not_count_as_failures(site, tmp_path):
    site.cuts = [10] * 20
    assert fetch(site.url, sha256=site.sha256, folder=tmp_path).exists()


def test_a_later_call_resumes_what_an_earlier_one_left(site, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    site.cuts = [1000]
    with pytest.raises(KeyboardInterrupt):
        fetch(site.url, sha256=None, folder=tmp_path, on_progress=interrupt)
    fetch(site.url, sha256=site.sha256, folder=tmp_path)
    assert site.asked == [None, "bytes=1000-"]


def test_a_killed_process_is_resumed(site, tmp_path):
    code = (
        "import sys, time; from pathlib import Path;"
        "from budwood.models.downloads import fetch;"
        "fetch(sys.argv[1], sha256=None, folder=Path(sys.argv[2]),"
        "      on_progress=lambda *_: (print('here', flush=True), time.sleep(60)))"
    )
    site.cuts = [1000]
    child = subprocess.Popen(
        [sys.executable, "-c", code, site.url, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
    )
    with child:
        assert child.stdout.readline() == b"here\n"
        child.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    (path,) = tmp_path.glob(".*.partial")
    arrived = path.stat().st_size
    fetch(site.url, sha256=site.sha256, folder=tmp_path)
    assert site.asked == [None, f"bytes={arrived}-" if arrived else None]


def test_a_part_of_an_older_file_is_not_spliced_with_the_new_one(site, tmp_path):
    site.cuts = [1000, *[0] * 4]
    with pytest.raises(WeightsError):
        fetch(site.url, sha256=None, folder=tmp_path)
    site.content, site.etag, site.cuts = b"new" * 9999, '"two"', []
    assert fetch(site.url, sha256=None, folder=tmp_path).read_bytes() == site.content


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_version_a_download_starts_over(site, tmp_path, etag):
    site.cuts, site.etag = [1000], etag
    assert fetch(site.url, sha256=site.sha256, folder=tmp_path).read_bytes() == site.content
    assert site.asked == [None, None]


def test_a_server_that_ignores_ranges_is_read_from_the_start(site, tmp_path):
    site.cuts, site.ranges = [1000], False
    assert fetch(site.url, sha256=site.sha256, folder=tmp_path).read_bytes() == site.content


def test_a_part_of_another_address_is_not_used(site, tmp_path):
    site.cuts = [1000, *[0] * 4]
    with pytest.raises(WeightsError):
        fetch(site.url, sha256=None, folder=tmp_path)
    fetch(f"{site.address}/mirror/weights.pth", sha256=site.sha256, folder=tmp_path)
    assert site.asked[-1] is None


def test_a_part_that_is_already_whole_is_kept(site, tmp_path):
    site.cuts = [1000, *[0] * 4]
    with pytest.raises(WeightsError):
        fetch(site.url, sha256=None, folder=tmp_path)
    (tmp_path / ".weights.pth.partial").write_bytes(site.content)
    fetch(site.url, sha256=site.sha256, folder=tmp_path)
    assert site.asked[-1] == f"bytes={len(site.content)}-"


def test_a_part_that_is_longer_than_the_file_is_dropped(site, tmp_path):
    site.cuts = [1000, *[0] * 4]
    with pytest.raises(WeightsError):
        fetch(site.url, sha256=None, folder=tmp_path)
    (tmp_path / ".weights.pth.partial").write_bytes(site.content + b"more")
    assert fetch(site.url, sha256=site.sha256, folder=tmp_path).read_bytes() == site.content


def test_a_note_cut_short_starts_over(site, tmp_path):
    site.cuts = [1000, *[0] * 4]
    with pytest.raises(WeightsError):
        fetch(site.url, sha256=None, folder=tmp_path)
    (tmp_path / ".weights.pth.partial.json").write_text('{"url"')
    assert fetch(site.url, sha256=site.sha256, folder=tmp_path).read_bytes() == site.content


@pytest.mark.parametrize("digits", [8, 64])
def test_a_hash_may_be_given_in_part(site, tmp_path, digits):
    assert fetch(site.url, sha256=site.sha256[:digits].upper(), folder=tmp_path).exists()


def test_a_wrong_hash_names_both_and_removes_the_file(site, tmp_path):
    with pytest.raises(
        WeightsError, match=rf"is {site.sha256}. It must be 0123abcd\.\.\..*removed"
    ):
        fetch(site.url, sha256="0123abcd", folder=tmp_path)
    assert not list(tmp_path.glob("*weights.pth")) + list(tmp_path.glob(".*.partial*"))


def test_errors_of_the_server_are_tried_again(site, tmp_path):
    site.errors = [503, 500, 502]
    assert fetch(site.url, sha256=site.sha256, folder=tmp_path).exists()


def test_a_refusal_is_not_tried_again(site, tmp_path):
    site.errors = [403]
    with pytest.raises(WeightsError, match=r"403 Forbidden.*browser.*--weights PATH"):
        fetch(site.url, sha256=None, folder=tmp_path)
    assert len(site.log) == 1


def test_a_server_that_keeps_hanging_up_is_given_up(site, tmp_path):
    site.cuts = [0] * 9
    with pytest.raises(WeightsError, match=r"0 of 1048576 bytes.*pass --weights PATH"):
        fetch(site.url, sha256=None, folder=tmp_path)
    assert len(site.log) == 4


def test_offline_names_address_target_and_the_way_out(site, tmp_path):
    url = "http://127.0.0.1:9/weights.pth"  # nothing listens there
    with pytest.raises(
        WeightsError, match="Try again when online, or download it elsewhere"
    ) as caught:
        fetch(url, sha256=None, folder=tmp_path)
    assert url in str(caught.value)
    assert caught.value.file == str(tmp_path / "weights.pth")


def test_offline_nothing_is_waited_for(monkeypatch, tmp_path):
    def unknown(*_):
        raise socket.gaierror(-2, "Name or service not known")

    def wait(seconds):
        raise AssertionError(f"{seconds} s are waited for")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    monkeypatch.setattr("time.sleep", wait)
    with pytest.raises(WeightsError, match=r"Name or service not known\. Try again when online"):
        fetch("https://example.org/a.pth", sha256=None, folder=tmp_path)


@pytest.mark.parametrize("url", ["http://example.org/a.pth", "ftp://example.org/a.pth", "a.pth"])
def test_only_encrypted_addresses_are_fetched(url, tmp_path):
    with pytest.raises(WeightsError, match="must begin with https"):
        fetch(url, sha256=None, folder=tmp_path)


def test_a_redirect_is_followed_with_its_range(site, tmp_path):
    site.redirects["/weights.pth"] = f"{site.address}/elsewhere/file"
    site.cuts = [1000]
    assert fetch(site.url, sha256=site.sha256, folder=tmp_path).read_bytes() == site.content
    assert site.log[-1] == ("GET", "/elsewhere/file", "bytes=1000-")


def test_a_redirect_to_an_unencrypted_address_is_refused(site, tmp_path):
    site.redirects["/weights.pth"] = "http://example.org/a.pth"
    with pytest.raises(WeightsError, match="must begin with https"):
        fetch(site.url, sha256=None, folder=tmp_path)


def test_many_at_once_download_one_file_once(site, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(fetch, site.url, sha256=site.sha256, folder=tmp_path) for _ in range(8)]
    assert {job.result().read_bytes() for job in jobs} == {site.content}
    assert len(site.asked) == 1


def test_a_disk_that_cannot_be_written_is_named(site, tmp_path):
    (tmp_path / ".weights.pth.partial").mkdir()
    with pytest.raises(WeightsError, match=r"weights.pth cannot be written: .*BUDWOOD_HOME"):
        fetch(site.url, sha256=None, folder=tmp_path)


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit on the size of files")
def test_a_full_disk_keeps_what_has_arrived(site, tmp_path):
    code = (
        "import resource, signal, sys; from pathlib import Path;"
        "from budwood.models.downloads import fetch;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000));"
        "fetch(sys.argv[1], sha256=None, folder=Path(sys.argv[2]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, site.url, str(tmp_path)],
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "cannot be written: File too large. Make room there" in done.stderr
    fetch(site.url, sha256=site.sha256, folder=tmp_path)
    assert site.asked == [None, "bytes=300000-"]


def test_an_error_of_the_caller_is_the_callers(site, tmp_path):
    def fail(*_):
        raise BrokenPipeError("of standard output")

    with pytest.raises(BrokenPipeError, match="standard output"):
        fetch(site.url, sha256=None, folder=tmp_path, on_progress=fail)
    assert len(site.log) == 1


def test_another_part_than_was_asked_for_is_not_used(site, tmp_path):
    site.cuts, site.shifts = [1000], [1]
    assert fetch(site.url, sha256=site.sha256, folder=tmp_path).read_bytes() == site.content
    assert site.asked == [None, "bytes=1000-", None]
