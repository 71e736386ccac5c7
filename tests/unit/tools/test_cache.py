import threading
from pathlib import Path

import pytest

from tools import cache


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SEEDBED_CACHE", str(tmp_path / "cache"))


def test_an_entry_is_made_once_and_found_again():
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "tool").write_text("x")

    first = cache.entry("tool", "0123", make)
    second = cache.entry("tool", "0123", make)

    assert first == second == cache.root() / "tool-0123"
    assert (first / "tool").read_text() == "x"
    assert len(made) == 1


def test_an_entry_that_failed_leaves_nothing_and_is_tried_again():
    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        cache.entry("tool", "0123", fail)

    assert [path.name for path in cache.root().iterdir()] == ["locks"]
    assert cache.entry("tool", "0123", lambda _: None).is_dir()


def test_what_a_killed_build_left_is_swept_by_the_next_one():
    left = cache.root() / ".tool-0123.abc"
    left.mkdir()
    other = cache.root() / ".other-0123.abc"
    other.mkdir()

    cache.entry("tool", "0123", lambda _: None)

    assert not left.exists()
    assert other.exists()


def test_two_that_want_the_same_entry_make_it_once():
    started, go_on, made = threading.Event(), threading.Event(), []

    def make(folder: Path) -> None:
        made.append(folder)
        started.set()
        assert go_on.wait(10)

    threads = [threading.Thread(target=cache.entry, args=("tool", "0123", make)) for _ in range(2)]
    threads[0].start()
    assert started.wait(10)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(10)

    assert len(made) == 1


def test_the_digest_tells_apart_lists_whose_texts_run_together():
    assert cache.digest(["ab", "c"]) != cache.digest(["a", "bc"])
    assert cache.digest(["ab", "c"]) == cache.digest([b"ab", b"c"])
