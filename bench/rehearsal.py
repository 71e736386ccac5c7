"""The prod stack, rehearsed from nothing under a name of its own in a copy of the tree, for what is measured of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench import report
from bench.measure import Usage, run
from bench.world import World
from lab.image import Image
from tests.lab.conftest import new_spec
from tests.lab.rehearsed import Rehearsed
from tools.progress import Progress

REHEARSE_SECONDS = 3600


@dataclass
class Rehearsal:
    """The stack that is up, what `seedbed rehearse` took and said, and the machine's load before it."""

    world: World
    stack: Rehearsed
    rehearse: Usage
    load: str


@contextmanager
def rehearsal(progress: Progress) -> Iterator[Rehearsal]:
    """The rehearsal, taken away at the end, whatever happened; its hosts begin as a cloud's bare Debian."""
    stack = Rehearsed.new(new_spec().subnet)
    stack.image = Image.BARE
    load = report.load()
    try:
        with progress.phase("seedbed rehearse, from nothing"):
            python = str(stack.root / ".venv" / "bin" / "python")
            argv = [python, "-m", "seedbed", "rehearse", stack.name]
            usage = run(argv, stack.root, stack.base_environment(), REHEARSE_SECONDS)
        yield Rehearsal(World(stack, progress), stack, usage, load)
    finally:
        with progress.phase("the rehearsal's end"):
            stack.remove()
