"""Preview a stack once, say what it comes to, and keep exactly that plan for `seedbed apply`.

Prints a report in Markdown, made for a pull request, and writes a bundle: the plan with all that it is bound to, sealed.
It changes nothing: no lock is taken and no machine is asked. Exit codes: 0 nothing would change, 2 safe, 3 a person has to have
read it, 4 refused (then there is no bundle), 1 it could not be reviewed.
"""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from seedbed import engine, environment, stackfile
from seedbed.commands.env import refuse_another
from stacks.files import ROOT
from tools.progress import Progress

NAME = "review"
HELP = "preview a stack, report it for a pull request, and keep the plan for `seedbed apply`"

FOLDER = ".review"
"""Of the clone, and not in git: where bundles are written."""

CODES = {"nothing": 0, "safe": 2, "needs eyes": 3, "refused": 4}
"""By the verdict."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stack", metavar="STACK")
    parser.add_argument("--output", metavar="FILE", type=Path, help=f"the bundle; default {FOLDER}/STACK-COMMIT.zip")
    parser.add_argument("--report", metavar="FILE", type=Path, help="write the report there as well")


def run(arguments: argparse.Namespace) -> int:
    progress = Progress()
    stack = stackfile.load(arguments.stack)
    refuse_another(stack)
    variables = environment.of(stack, os.environ)
    with progress.phase(f"pulumi preview of stack {stack.name}") as phase, ThreadPoolExecutor(1) as pool:
        preview = pool.submit(engine.preview, stack, variables)
        # What judges it is imported while it runs.
        from seedbed import bundle, reviewing

        review = reviewing.review(stack, variables, preview)
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
        if review.report.verdict.value != "nothing":
            progress.line(f"to do exactly this: seedbed apply {named}")
    return CODES[review.report.verdict]
