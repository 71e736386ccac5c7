"""Preview a stack once, say what it comes to, and keep exactly that plan for `seedbed apply`.

Prints a report in Markdown, made for a pull request, and writes a bundle: the plan with all that it is bound to, sealed.
It changes nothing: no lock is taken and no machine is asked. Exit codes: 0 nothing would change, 2 safe, 3 a person has to have
read it, 4 refused (then there is no bundle), 1 it could not be reviewed.
"""

import argparse
import os
import sys
from pathlib import Path

from seedbed import bundle, environment, reviewing, stackfile
from seedbed.commands.env import refuse_another
from seedbed.review import Verdict
from stacks.config import ROOT
from tools.progress import Progress

NAME = "review"
HELP = "preview a stack, report it for a pull request, and keep the plan for `seedbed apply`"

FOLDER = ".review"
"""Of the clone, and not in git: where bundles are written."""

CODES = {Verdict.NOTHING: 0, Verdict.SAFE: 2, Verdict.NEEDS_EYES: 3, Verdict.REFUSED: 4}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stack", metavar="STACK")
    parser.add_argument("--output", metavar="FILE", type=Path, help=f"the bundle; default {FOLDER}/STACK-COMMIT.zip")
    parser.add_argument("--report", metavar="FILE", type=Path, help="write the report there as well")


def run(arguments: argparse.Namespace) -> int:
    progress = Progress()
    stack = stackfile.load(arguments.stack)
    refuse_another(stack)
    with progress.phase(f"pulumi preview of stack {stack.name}") as phase:
        review = reviewing.review(stack, environment.of(stack, os.environ))
        phase.note(review.report.verdict.value)
    if arguments.report is not None:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        arguments.report.write_text(review.report.markdown)
    sys.stdout.write(review.report.markdown)
    sys.stdout.flush()
    if review.manifest is None or review.plan is None:
        progress.line("no bundle: what the preview refuses cannot be applied")
    else:
        path = arguments.output or ROOT / FOLDER / f"{stack.name}-{review.commit}.zip"
        bundle.write(path, review.manifest, review.plan, review.report.markdown, review.key)
        named = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        progress.line(f"bundle: {named}")
        if review.report.verdict is not Verdict.NOTHING:
            progress.line(f"to do exactly this: seedbed apply {named}")
    return CODES[review.report.verdict]
