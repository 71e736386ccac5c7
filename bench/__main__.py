"""`python -m bench [NAME…]`: take measurements and write bench/results/. `make bench` takes all but up-cold.

Needs Linux and root, as the lab does. Each measurement runs on a lab of its own, or after others on one; each lab is
removed at the end. What rebuilding from nothing takes is measured by `seedbed drill --record`, on the dev stack itself.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from bench import metal, pave, preview, preview_prod, rehearse, replace, review, scale, seed, sync, up
from bench.measure import BenchError
from bench.rehearsal import Rehearsal, rehearsal
from bench.world import World, world
from lab import LabError, machine
from tools import ToolError
from tools.progress import Progress

ON_A_CLUSTER: dict[str, Callable[[World], Path]] = {"scale": scale.run, "pave": pave.run}
ON_A_SEEDED_CLUSTER: dict[str, Callable[[World], Path]] = {"preview": preview.run, "sync": sync.run, "seed": seed.run}
"""`seed` is the last: it takes the cluster away that the others measure."""

ON_A_REHEARSAL: dict[str, Callable[[Rehearsal], Path]] = {
    "rehearse": rehearse.run,
    "preview-prod": preview_prod.run,
    "review": review.run,
}
"""Of the prod stack, on one rehearsal that is made for them, which is what `rehearse` measures."""

ALONE: dict[str, Callable[[Progress], Path]] = {
    "up": up.run,
    "up-cold": up.run_cold,
    "metal": metal.run,
    "replace": replace.run,
}
NOT_UNLESS_NAMED = {"up-cold"}
"""It builds Kubernetes from nothing, which takes a quarter of an hour."""


def main(arguments: list[str]) -> int:
    """Measure what is named, or all; 1 where something failed."""
    names = [*ALONE, *ON_A_CLUSTER, *ON_A_SEEDED_CLUSTER, *ON_A_REHEARSAL]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help=f"of {', '.join(names)}; all but up-cold when none is given"
    )
    wanted = parser.parse_args(arguments).names or [name for name in names if name not in NOT_UNLESS_NAMED]
    if unknown := [name for name in wanted if name not in names]:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(names)}")
    progress = Progress(sys.stdout)
    try:
        machine.check_able()
        for name in wanted:
            if name in ALONE:
                _told(progress, ALONE[name](progress))
        for benchmarks, seeded in ((ON_A_CLUSTER, False), (ON_A_SEEDED_CLUSTER, True)):
            if named := [name for name in benchmarks if name in wanted]:
                with world(progress, seed=seeded) as up_and_running:
                    for name in named:
                        _told(progress, benchmarks[name](up_and_running))
        if named := [name for name in ON_A_REHEARSAL if name in wanted]:
            with rehearsal(progress) as rehearsed:
                for name in named:
                    _told(progress, ON_A_REHEARSAL[name](rehearsed))
    except (BenchError, LabError, ToolError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _told(progress: Progress, file: Path) -> None:
    progress.line(f"written: {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")
    print(f"\n{file.read_text()}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
