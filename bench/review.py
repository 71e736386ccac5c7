"""A review of the prod stack, against the preview that it runs."""

from pathlib import Path

from bench import measure, report
from bench.measure import Usage, interleaved, median, ratio
from bench.preview import ROUNDS
from bench.rehearsal import Rehearsal
from bench.world import World
from tests.clones import committed

TARGET = 1.2
PREVIEW = ("preview", "--json", "--show-sames", "--show-replacement-steps")
"""As seedbed/engine.py calls it, but for where the plan and the settings are."""


def run(rehearsal: Rehearsal) -> Path:
    """Measure, and write results/review.md."""
    world = rehearsal.world
    before = report.load()
    folder = world.stack.root / ".review"
    folder.mkdir(exist_ok=True)
    committed(world.stack.root)
    settings = ("--config-file", world.environment["SEEDBED_CONFIG_FILE"])

    def preview() -> Usage:
        return world.pulumi(*PREVIEW, "--save-plan", str(folder / "plan.json"), *settings)

    def review() -> Usage:
        return reviewed(world, folder / "bundle.zip")

    preview()
    said = review().output
    if "Nothing" not in said:
        raise AssertionError(f"there is something to change:\n{said}")
    with world.progress.phase("reviews"):
        found = interleaved(ROUNDS, review=review, preview=preview)
    return report.write("review", "A review of the prod stack", before, _body(world, found))


def reviewed(world: World, bundle: Path) -> Usage:
    """`seedbed review`, measured as a person starts it."""
    argv = [str(world.stack.root / ".venv" / "bin" / "python"), "-m", "seedbed", "review", world.stack.name]
    return measure.run([*argv, "--output", str(bundle)], world.stack.root, world.environment, 600)


def table(found: dict[str, list[Usage]]) -> str:
    """The medians of `review` and of `preview`, and their ratios."""
    rows = []
    for what, values in (
        ("wall clock", {name: [usage.seconds for usage in usages] for name, usages in found.items()}),
        ("CPU", {name: [usage.cpu_seconds for usage in usages] for name, usages in found.items()}),
    ):
        all_of, least, greatest = ratio(values["review"], values["preview"])
        rows.append(
            (
                what,
                f"{median(values['review']):.2f} s",
                f"{median(values['preview']):.2f} s",
                f"**{all_of:.2f}**",
                f"{least:.2f} - {greatest:.2f}",
            )
        )
    best = {name: min(usage.seconds for usage in usages) for name, usages in found.items()}
    row = ("wall clock, the best", f"{best['review']:.2f} s", f"{best['preview']:.2f} s")
    rows.insert(1, (*row, f"{best['review'] / best['preview']:.2f}", ""))
    return report.table(("median", "review", "its preview", "ratio", "single rounds"), rows)


def _body(world: World, found: dict[str, list[Usage]]) -> str:
    return (
        f"Aim: at most {TARGET} times the wall clock of the preview that it runs.\n\n"
        + table(found)
        + f"\n{ROUNDS} rounds of `seedbed review`, which finds nothing to do and writes its bundle, and of `pulumi "
        f"{' '.join(PREVIEW)} --save-plan …`, the two in turns after one of each that is not counted, on the prod stack as it is "
        "rehearsed. A review is more than its preview by the start of the command line, the export of the state, git and "
        "the derivation of keys, most of it at the same time. CPU is user and system time of the command and all that it "
        f"waited for. The best is what a busy machine disturbed least.\n\n{world.about()}\n"
    )
