"""`make test`: every tier one after the other, each with its count, and one line for all of them at the end.

python -m tests.tiers [lint] [unit] [go] [engine] [lab]
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUIET_SECONDS = 30.0
"""After how long without output a line says that the tier is still at it."""

INTERRUPTED = 130

MOST_ONCE_MORE = 50
"""With more failures than this it is not the machine that was busy."""


@dataclass(frozen=True)
class Count:
    """How a tier came out; `note` says why it was skipped, or what broke outside of any test."""

    tier: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    note: str = ""

    def __str__(self) -> str:
        text = f"{self.tier + ':':<8} {self.passed} passed, {self.failed} failed, {self.skipped} skipped"
        return text + f" in {self.seconds:.0f} s" + (f" ({self.note})" if self.note else "")


def total(counts: Iterable[Count]) -> Count:
    """All tiers as one."""
    counts = list(counts)
    return Count(
        "total",
        sum(count.passed for count in counts),
        sum(count.failed for count in counts),
        sum(count.skipped for count in counts),
        sum(count.seconds for count in counts),
    )


def from_junit(tier: str, text: str) -> Count:
    """Counts what pytest's `--junitxml` reports; an error outside of a test (setup, collection) is a failure."""
    suites = list(ET.fromstring(text).iter("testsuite"))

    def add(key: str) -> int:
        return sum(int(suite.get(key, "0")) for suite in suites)

    failed = add("failures") + add("errors")
    # A test that passes and whose teardown fails is one test with an error.
    return Count(tier, max(add("tests") - failed - add("skipped"), 0), failed, add("skipped"))


def from_go(tier: str, lines: Iterable[str]) -> Count:
    """Counts the events of `go test -json`; a package that fails without a failing test (it does not build) is one."""
    tests = {"pass": 0, "fail": 0, "skip": 0}
    failing: set[str] = set()
    broken: set[str] = set()
    for line in lines:
        if not line.startswith("{"):
            continue
        event = json.loads(line)
        action, package = event.get("Action"), event.get("Package", "")
        if action not in tests:
            continue
        if "Test" in event:
            tests[action] += 1
            if action == "fail":
                failing.add(package)
        elif action == "fail":
            broken.add(package)
    return Count(tier, tests["pass"], tests["fail"] + len(broken - failing), tests["skip"])


def stream(
    argv: Sequence[str], limit: float, env: Mapping[str, str] | None = None, quiet: bool = False
) -> tuple[int, list[str]]:
    """Runs a program, shows its output as it comes (not with `quiet`), gives back its exit code and lines.

    `limit` in seconds; then the program and its children are ended, and the code is that of `timeout`, 124.
    """
    process = subprocess.Popen(
        argv,
        cwd=ROOT,
        env=dict(env) if env is not None else None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    lines: list[str] = []
    heard = [time.monotonic()]

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            heard[0] = time.monotonic()
            lines.append(line)
            if not quiet:
                print(line, end="", flush=True)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    began = time.monotonic()
    try:
        while process.poll() is None:
            reader.join(0.2)
            now = time.monotonic()
            if now - began > limit:
                print(f"not done after {limit:.0f} s: ended", flush=True)
                _end(process)
                return 124, lines
            if now - heard[0] > QUIET_SECONDS:
                heard[0] = now
                print(f"… still at it after {now - began:.0f} s", flush=True)
    except BaseException:
        _end(process)
        raise
    reader.join(5.0)
    return process.returncode, lines


def _end(process: subprocess.Popen[str]) -> None:
    """As ^C would, so that fixtures can clean up; then for good. The program leads a process group of its own."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run_lint() -> Count:
    """ruff's rules, ruff's format and mypy: three checks."""
    codes = [
        stream([sys.executable, "-m", *check], 600)[0]
        for check in (["ruff", "check", "--quiet", "."], ["ruff", "format", "--check", "--quiet", "."], ["mypy"])
    ]
    return Count("lint", codes.count(0), len(codes) - codes.count(0))


def run_pytest(tier: str, limit: float, *options: str) -> Count:
    """One folder of tests."""
    with tempfile.TemporaryDirectory(prefix="seedbed-tests-") as folder:
        report = Path(folder) / "report.xml"
        argv = [sys.executable, "-m", "pytest", f"tests/{tier}", f"--junitxml={report}", "--durations=5", *options]
        code, _ = stream(argv, limit)
        if not report.exists():
            return Count(tier, failed=1, note=f"pytest ended with {code} and no report")
        count = from_junit(tier, report.read_text())
    if code == 0 or count.failed:
        return count
    return replace(count, failed=1, note=f"pytest ended with {code}")


def run_crowded(tier: str, limit: float, *options: str) -> Count:
    """As `run_pytest`; what fails beside others is run once more, alone, counts as it does then, and is spoken of (ADR 21)."""
    first = run_pytest(tier, limit, *options)
    if not 0 < first.failed <= MOST_ONCE_MORE:
        return first
    print(f"{first.failed} failed beside others: once more, alone", flush=True)
    alone = run_pytest(tier, limit, "-v", "--last-failed", "--last-failed-no-failures=none")
    if not alone.passed:
        return first
    note = f"{alone.passed} of these failed beside others and passed alone"
    return replace(first, passed=first.passed + alone.passed, failed=alone.failed, note=note)


def run_go() -> Count:
    """The Go tests of every module of the lab."""
    from tools.gobuild import find_go, wanted_go
    from tools.progress import Progress

    counts = []
    for module in sorted(path.parent for path in (ROOT / "lab").rglob("go.mod")):
        if not any(module.rglob("*_test.go")):
            continue
        go = find_go(wanted_go(module), Progress())
        env = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0"}
        argv = [str(go), "test", "-C", str(module), "-trimpath", "-json", "./..."]
        code, lines = stream(argv, 1800, env, quiet=True)
        count = from_go("go", lines)
        if code != 0 and count.failed == 0:
            count = replace(count, failed=1)
        if count.failed:
            print(go_failures(lines))
        counts.append(count)
    return replace(total(counts), tier="go")


def go_failures(lines: Iterable[str]) -> str:
    """What `go test -json` has to say about what failed: the output of failing tests and of what does not build."""
    events = [json.loads(line) for line in lines if line.startswith("{")]
    failed = {(e.get("Package"), e.get("Test")) for e in events if e.get("Action") in ("fail", "build-fail")}
    told = [
        str(e.get("Output", ""))
        for e in events
        if e.get("Action") == "build-output"
        or (e.get("Action") == "output" and (e.get("Package"), e.get("Test")) in failed)
    ]
    plain = [line for line in lines if not line.startswith("{")]
    return "".join(told + plain)


def run_engine() -> Count:
    """The tests that need the CLI; it is made first, where one can see it being made."""
    from tools import ToolError, toolchain
    from tools.progress import Progress

    try:
        toolchain.ensure(Progress())
    except ToolError as error:
        return Count("engine", failed=1, note=str(error))
    # A test waits for the engine some of its time; those of one file may share what it started.
    workers = min((os.cpu_count() or 1) + 1, 4)
    return run_crowded("engine", 1800, "-q", "-n", str(workers), "--dist", "loadfile")


def run_lab() -> Count:
    """The tests on real hosts; what they boot is built first, where one can see it being built."""
    from lab import LabError, image, machine

    if obstacle := machine.why_not():
        return Count("lab", skipped=count_tests("lab"), note=obstacle)
    from seedbed import build
    from tools import ToolError
    from tools.progress import Progress

    try:
        build.everything(Progress())
        image.ensure(Progress(), image.Image.PREPARED)
    except (LabError, ToolError) as error:
        return Count("lab", failed=1, note=str(error))
    return run_crowded("lab", 3600, "-v", "-n", str(lab_workers()), "--dist", "loadscope", "--no-loadscope-reorder")


def lab_workers() -> int:
    """How many groups of tests on real hosts run at once: one boots, or waits until a fault is noticed, while others work.

    More would only stand in each other's way. Five hosts with three servers among them are 5 GiB.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(3, memory // (5 << 30)))


def count_tests(tier: str) -> int:
    """How many tests a tier has that cannot run here."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", f"tests/{tier}", "--collect-only", "-q", "--no-header"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return sum("::" in line for line in done.stdout.splitlines())


TIERS: dict[str, Callable[[], Count]] = {
    "lint": run_lint,
    "unit": lambda: run_pytest("unit", 600, "-q", "-n", str(min(os.cpu_count() or 1, 4))),
    "go": run_go,
    "engine": run_engine,
    "lab": run_lab,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the tiers named, or all; 0 only if each ran something and nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.tiers", description=__doc__)
    parser.add_argument("tiers", nargs="*", metavar="TIER", help=", ".join(TIERS))
    chosen = parser.parse_args(argv).tiers or list(TIERS)
    unknown = sorted(set(chosen) - set(TIERS))
    if unknown:
        parser.error(f"no tier {', '.join(unknown)}; there are {', '.join(TIERS)}")
    # `make test &` in a script begins with ^C ignored, and a shell that begins so can never trap it: some tests would wait for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    counts: list[Count] = []
    try:
        for tier in chosen:
            print(f"{f' {tier} ':=^{min(shutil.get_terminal_size().columns, 110)}}", flush=True)
            began = time.monotonic()
            count = TIERS[tier]()
            counts.append(judged(replace(count, seconds=time.monotonic() - began)))
            print(counts[-1], flush=True)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    print(f"{' summary ':=^{min(shutil.get_terminal_size().columns, 110)}}")
    for count in [*counts, total(counts)]:
        print(count)
    return 1 if any(count.failed for count in counts) else 0


def judged(count: Count) -> Count:
    """A tier in which nothing ran and nothing was skipped proves nothing, and fails."""
    if count.passed or count.failed or count.skipped:
        return count
    return replace(count, failed=1, note="no test was found")


if __name__ == "__main__":
    sys.exit(main())
