"""Results as Markdown, with what a reader needs to judge them."""

import datetime
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from stacks.config import ROOT

RESULTS = Path(__file__).parent / "results"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are numbers and stand to the right."""
    lines = [heading, ["---", *["---:"] * (len(heading) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def mebibytes(size: float) -> str:
    """Bytes as whole MiB."""
    return f"{size / (1 << 20):.0f} MiB"


def machine() -> str:
    """What the measurement ran on; no name of the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return (
        f"{os.cpu_count()} CPUs ({_cpu()}), {memory / (1 << 30):.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def load() -> str:
    """The load of the last 1, 5 and 15 minutes."""
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def write(name: str, title: str, load_before: str, body: str, again: str = "") -> Path:
    """Write results/`name`.md, in the place of the last result, which git keeps; `again` is what measures it anew."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    ).stdout.strip()
    now = datetime.datetime.now(datetime.UTC)
    file = RESULTS / f"{name}.md"
    file.write_text(
        f"# {title}\n\n"
        f"- date: {now:%Y-%m-%d %H:%M} UTC, commit {commit or 'unknown'}\n"
        f"- machine: {machine()}\n"
        f"- load average (1, 5, 15 minutes): {load_before} before, {load()} after\n"
        f"- again: {f'`{again}`' if again else f'`make bench`, or `.venv/bin/python -m bench {name}`'}\n\n{body.strip()}\n"
    )
    return file


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.machine()
