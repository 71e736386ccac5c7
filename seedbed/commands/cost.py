"""Say what a stack costs a month at its cloud, and how much more or less that is than what is deployed, or than it was.

From the settings and the committed table of prices; only what is deployed is asked of the stack's state, and where that
cannot be read the rest is said all the same.
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

from components.metal.digitalocean.catalogue import DATE, SOURCE
from components.metal.digitalocean.cost import CURRENCY, Line, changes, dollars, lines, total
from seedbed import UserError, engine, environment, stackfile
from stacks.config import read_document
from stacks.settings import Settings, parse, split

NAME = "cost"
HELP = "say what a stack costs a month, and what a change of it does to that"

OUTPUT = "monthlyCost"
"""The stack's output."""

GIT_SECONDS = 30


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stack", metavar="STACK")
    parser.add_argument("--since", metavar="REV", help="compare with the settings of this git revision, such as HEAD")


def run(arguments: argparse.Namespace) -> int:
    stack = stackfile.load(arguments.stack)
    settings = stackfile.settings(stack, lab_is_made=False)
    if settings.digitalocean is None and arguments.since is None:
        print(f"Stack {stack.name} is on machines that exist: nothing is bought for it.")
        return 0
    bill = _bill(settings)
    before = None if arguments.since is None else _bill(_since(stack, arguments.since))
    print("\n".join(table(bill)))
    print(f"\nUS dollars, by the prices of {DATE} ({SOURCE}), without tax and without what depends on use.")
    print(_deployed(stack, bill) if before is None else "\n".join(difference(before, bill, arguments.since)))
    return 0


def table(bill: Sequence[Line]) -> list[str]:
    """The bill, line by line, and its sum."""
    rows = [("", "number", "each", "a month")]
    rows += [(line.what, str(line.count), dollars(line.each), dollars(line.total)) for line in bill]
    rows += [("total", "", "", dollars(total(bill)))]
    return _columns(rows)


def difference(before: Sequence[Line], after: Sequence[Line], since: str) -> list[str]:
    """What has changed, line by line, and by how much the sum has."""
    changed = changes(before, after)
    if not changed:
        return [f"\nSince {since}: no change."]
    rows = [(c.what, f"{c.before} -> {c.after}", _signed(c.difference)) for c in changed]
    rows += [("a month", "", _signed(total(after) - total(before)))]
    return [f"\nSince {since}:", *_columns(rows)]


def deployed(value: str, bill: Sequence[Line]) -> str:
    """What the state tells, against the bill. Raises UserError where it tells something else than a sum."""
    try:
        told = json.loads(value)
        was, day = Decimal(told[CURRENCY]), str(told["pricesOf"])
    except (ValueError, TypeError, KeyError, InvalidOperation):
        raise UserError(f"its output {OUTPUT} is not a sum: {value[:80]}") from None
    text = f"Deployed: {dollars(was)}. With these settings: {_signed(total(bill) - was)} a month."
    return text if day == DATE else f"{text} The former is by the prices of {day}."


def _deployed(stack: stackfile.StackFile, bill: Sequence[Line]) -> str:
    try:
        return deployed(engine.output(stack, OUTPUT, environment.of(stack, os.environ)), bill)
    except UserError as error:
        return f"Deployed: not known. {error}"


def _bill(settings: Settings) -> list[Line]:
    """Nothing for machines that exist."""
    return [] if settings.digitalocean is None else lines(settings.digitalocean.order)


def _since(stack: stackfile.StackFile, revision: str) -> Settings:
    """The stack's committed settings of that revision. What is planted costs nothing, so its tree is not needed."""
    name = f"Pulumi.{stack.name}.yaml"
    source = f"{name} of {revision}"
    # A path after `./` is relative to the folder that git is run in, so a clone inside another repository works too.
    argv = ["git", "show", "--end-of-options", f"{revision}:./{name}"]
    try:
        done = subprocess.run(argv, cwd=stack.root, capture_output=True, text=True, timeout=GIT_SECONDS, check=False)
    except FileNotFoundError:
        raise UserError("--since: there is no `git` on PATH") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"--since: `{' '.join(argv)}` is not done after {GIT_SECONDS} s") from None
    if done.returncode != 0:
        raise UserError(f"--since {revision}: {done.stderr.strip().removeprefix('fatal: ')}")
    with tempfile.TemporaryDirectory(prefix="seedbed-") as folder:
        path = Path(folder) / name
        path.write_text(done.stdout)
        document = read_document(path)
    own, _ = split(document.get("config") or {})
    own.pop("seed", None)
    return parse(own, source, stack.root, lab_is_made=False, stack=stack.name)


def _signed(amount: Decimal) -> str:
    return f"{amount:+.2f}"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first to the left, the others to the right, as numbers are read."""
    first, *others = zip(*rows, strict=True)
    wide = max(map(len, first))
    columns = [[cell.ljust(wide) for cell in first]]
    columns += [[cell.rjust(max(map(len, column))) for cell in column] for column in others]
    return ["  ".join(row) for row in zip(*columns, strict=True)]
