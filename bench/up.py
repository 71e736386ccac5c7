"""`make up` on this machine, phase by phase: with a full cache, once more on what runs, and with an empty cache."""

import re
import shutil
import tempfile
from pathlib import Path

from bench import report
from bench.measure import BenchError, Usage
from bench.measure import run as measured
from bench.world import timings
from lab.image import Image
from stacks.config import ROOT
from tests.lab.conftest import new_spec
from tests.lab.stacks import Stack
from tools.progress import Progress

WARM_SECONDS = 60
COLD_SECONDS = 15 * 60
TIMEOUT_SECONDS = 3600

_READY = re.compile(r"^\[ *(\d+)s\]   \+ \S+-k3s created", re.MULTILINE)


def run(progress: Progress) -> Path:
    """Measure with a full cache, and write results/up.md."""
    before = report.load()
    stack = Stack.make(new_spec().subnet, seed=True, image=Image.BARE)
    try:
        with progress.phase("seedbed up, everything in the cache"):
            first = _up(stack, {})
        with progress.phase("seedbed up again"):
            again = _up(stack, {})
    finally:
        stack.remove()
    body = (
        f"Aim: both nodes Ready after at most {WARM_SECONDS} s on two cores with a full cache.\n\n"
        f"## From a fresh clone, everything in the cache: nodes Ready after {ready_after(first.output)} s, all of git's "
        f"applications Synced after {first.seconds:.1f} s\n\n{_phases(first)}\n"
        f"## Once more, where all is up: {again.seconds:.1f} s\n\n{_phases(again)}\n"
        "`seedbed up` in a copy of the tree without .tools and .lab; it has the clone's .venv, which `make` has made "
        "before. Phases overlap; a remote step is given as the engine counts it. The last step of a machine, `k3s`, ends "
        "when its node is Ready, `synced` when all Applications are Synced, and Healthy where that takes at most two minutes more.\n"
    )
    return report.write("up", "`make up` with a full cache", before, body)


def run_cold(progress: Progress) -> Path:
    """Measure with an empty cache, Go's own ones as well, and write results/up-cold.md."""
    before = report.load()
    stack = Stack.make(new_spec().subnet, seed=True, image=Image.BARE)
    cache = Path(tempfile.mkdtemp(prefix="bench-cold-", dir=ROOT / ".lab"))
    empty = {"SEEDBED_CACHE": "seedbed", "GOCACHE": "go-build", "GOMODCACHE": "go-modules", "PIP_CACHE_DIR": "pip"}
    try:
        with progress.phase("seedbed up, everything built anew"):
            cold = _up(stack, {name: str(cache / folder) for name, folder in empty.items()})
        sizes = [
            (
                folder,
                report.mebibytes(sum(file.lstat().st_size for file in (cache / folder).rglob("*") if file.is_file())),
            )
            for folder in empty.values()
        ]
    finally:
        stack.remove()
        for path in cache.rglob("*"):  # Go makes its modules read-only
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        shutil.rmtree(cache)
    body = (
        f"Aim: at most {COLD_SECONDS // 60} min on two cores where everything has to be built.\n\n"
        f"## From a fresh clone, nothing in the cache: {cold.seconds / 60:.1f} min\n\n{_phases(cold)}\n"
        f"CPU of all that it started and waited for: {cold.cpu_seconds / 60:.1f} min.\n\n"
        + report.table(("written to", "size"), sizes)
        + f"\n`seedbed up` in a copy of the tree, with new empty folders for {', '.join(empty)}; it has the clone's .venv.\n"
    )
    return report.write("up-cold", "`make up` with nothing in the cache", before, body)


def _up(stack: Stack, more: dict[str, str]) -> Usage:
    python = str(stack.root / ".venv" / "bin" / "python")
    return measured(
        [python, "-m", "seedbed", "up", stack.name], stack.root, stack.base_environment() | more, TIMEOUT_SECONDS
    )


def ready_after(output: str) -> int:
    """Whole seconds after which the last machine's step `k3s` had ended, which proves its node Ready.

    Raises BenchError where `seedbed up` does not tell of such a step.
    """
    found = _READY.findall(output)
    if not found:
        raise BenchError("seedbed up tells of no node that became Ready")
    return max(int(seconds) for seconds in found)


def _phases(usage: Usage) -> str:
    return report.table(("phase", "took"), [(name, f"{seconds:.1f} s") for seconds, name in timings(usage.output)])
