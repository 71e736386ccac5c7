import io
import re
import threading

import pytest

from tools.progress import Progress


def test_a_phase_that_ends_at_once_prints_one_line_with_its_outcome():
    out = io.StringIO()
    progress = Progress(out, announce_after=60)

    with progress.phase("pulumi CLI") as phase:
        phase.note("on PATH")

    assert re.fullmatch(r"\[ +\ds\] pulumi CLI: on PATH, \d\.\d s\n", out.getvalue())


def test_a_phase_that_goes_on_is_announced_and_shows_that_it_lives():
    heard = threading.Event()

    class Listener(io.StringIO):
        def write(self, text: str) -> int:
            if "still at it" in text:
                heard.set()
            return super().write(text)

    out = Listener()
    with Progress(out, announce_after=0, heartbeat=0.01).phase("build of k3s"):
        assert heard.wait(10)

    lines = [line.split("] ", 1)[1] for line in out.getvalue().splitlines()]
    assert lines[0] == "build of k3s …"
    assert re.fullmatch(r"build of k3s: still at it after \d+\.\d s", lines[1])
    assert re.fullmatch(r"build of k3s: \d+\.\d s", lines[-1])


def test_a_phase_inside_another_speaks_for_both():
    heard = threading.Event()

    class Listener(io.StringIO):
        def write(self, text: str) -> int:
            if "inner: still at it" in text:
                heard.set()
            return super().write(text)

    out = Listener()
    progress = Progress(out, announce_after=0.01, heartbeat=0.02)
    with progress.phase("outer"), progress.phase("inner"):
        assert heard.wait(10)

    assert "outer: still at it" not in out.getvalue()
    assert [timing.name for timing in progress.timings] == ["inner", "outer"]


def test_a_phase_that_fails_says_so_and_lets_the_error_through():
    out = io.StringIO()
    progress = Progress(out, announce_after=60)

    with pytest.raises(ValueError, match="no disk"), progress.phase("image"):
        raise ValueError("no disk")

    assert "image: failed, " in out.getvalue()
    assert [(timing.name, timing.failed) for timing in progress.timings] == [("image", True)]


def test_lines_of_several_threads_stay_whole():
    out = io.StringIO()
    progress = Progress(out)
    threads = [threading.Thread(target=lambda: [progress("x" * 80) for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert out.getvalue().splitlines() == ["[   0s] " + "x" * 80] * 400
