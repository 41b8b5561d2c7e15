"""Files are read once, as long as they stay what they were."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from budwood.errors import ImageError
from budwood.images import contents
from budwood.images.contents import Contents, digest

OLD = time.time_ns() - 10**12 + 1


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"some bytes")
    os.utime(path, ns=(OLD, OLD))
    return path


@pytest.fixture
def reads(monkeypatch):
    """The paths that were read."""
    seen, real = [], contents.read
    monkeypatch.setattr(contents, "read", lambda path: seen.append(path) or real(path))
    return seen


def test_a_file_is_read_once_for_its_digest_and_its_bytes(file, reads):
    known = Contents()
    assert known.digest_of(file) == digest(b"some bytes")
    assert known.read(file) == b"some bytes"
    assert known.digest_of(file) == digest(b"some bytes")
    assert known.take(file) == (digest(b"some bytes"), b"some bytes")
    assert len(reads) == 1
    assert known.digest_of(file) == digest(b"some bytes")
    assert len(reads) == 1
    assert known.take(file)[1] == b"some bytes"  # it was let go
    assert len(reads) == 2


def rewritten(path):
    path.write_bytes(b"same size!")


def rewritten_at_the_same_time(path):
    rewritten(path)
    os.utime(path, ns=(OLD, OLD))


def replaced(path):
    other = path.with_name("other")
    rewritten_at_the_same_time(other)
    os.replace(other, path)


@pytest.mark.parametrize("change", [rewritten, rewritten_at_the_same_time, replaced])
def test_a_file_that_changed_is_read_again(change, file, reads):
    known = Contents()
    known.read(file)
    time.sleep(0.02)  # a file system may tell times apart by no less
    change(file)
    assert known.digest_of(file) == digest(b"same size!")
    assert known.take(file) == (digest(b"same size!"), b"same size!")
    assert len(reads) == 2


@pytest.mark.parametrize("age", [0, 10**9 - 1])
def test_a_file_of_this_moment_may_change_without_a_trace(age, file, reads):
    now = time.time_ns() - age
    whole_seconds = now - now % 10**9 if age else now
    os.utime(file, ns=(whole_seconds, whole_seconds))
    known = Contents()
    known.digest_of(file)
    known.digest_of(file)
    assert len(reads) == 2


def test_a_file_that_changes_while_it_is_read_is_not_remembered(file, monkeypatch):
    real = contents.read

    def overtaken(path):
        data = real(path)
        path.write_bytes(b"longer than before")
        os.utime(path, ns=(OLD, OLD))
        return data

    known = Contents()
    with monkeypatch.context() as patch:
        patch.setattr(contents, "read", overtaken)
        assert known.digest_of(file) == digest(b"some bytes")
    assert known.digest_of(file) == digest(b"longer than before")


def test_a_file_that_vanished_is_an_error(file):
    known = Contents()
    known.digest_of(file)
    file.unlink()
    with pytest.raises(ImageError, match="Check that the file is there"):
        known.digest_of(file)


def test_room_is_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "KEPT_BYTES", 10 * 50)
    paths = [tmp_path / f"{i}.jpg" for i in range(100)]
    for path in paths:
        path.write_bytes(b"x" * 10)
        os.utime(path, ns=(OLD, OLD))
    known = Contents()
    for _ in range(3):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(known.read, [*paths, *paths]))
            assert sum(path in known for path in paths) == 50
            list(pool.map(known.take, paths))
        assert not any(path in known for path in paths)
    known.read(paths[0])
    known.let_go(paths)
    assert paths[0] not in known


def test_no_more_digests_are_remembered_than_there_is_room_for(tmp_path, monkeypatch, reads):
    monkeypatch.setattr(contents, "MOST_DIGESTS", 3)
    paths = [tmp_path / f"{i}.jpg" for i in range(5)]
    known = Contents()
    for path in paths:
        path.write_bytes(b"x")
        os.utime(path, ns=(OLD, OLD))
        known.digest_of(path)
    reads.clear()
    for path in paths[:2]:
        known.digest_of(path)
    assert reads == []
    assert len(known._digests) == 3
