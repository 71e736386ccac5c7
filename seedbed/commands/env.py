"""Print the exports with which plain `pulumi` and `seedbed` work in this shell: eval "$(make -s env)"."""

import argparse
import io
import sys

from seedbed import environment, stackfile
from stacks.config import ROOT
from tools import toolchain
from tools.env import DEV_STACK, exports, render
from tools.progress import Progress

NAME = "env"
HELP = 'print exports for a shell: eval "$(make -s env)"'


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stack", metavar="STACK", nargs="?", default=DEV_STACK, help=f"default {DEV_STACK}")


def run(arguments: argparse.Namespace) -> int:
    stack = stackfile.load(arguments.stack)
    # What is said about a toolchain that is there already would only stand in the way, at every new shell.
    there = (ROOT / ".tools" / "pulumi-home" / "plugins").is_dir()
    tools = toolchain.ensure(Progress(io.StringIO() if there else None))
    backend = environment.lab_backend(stack)
    if stack.identity_file is not None and backend is None:
        print(f"The lab of stack {stack.name} is not up, so there is no state store yet: make up", file=sys.stderr)
    print(render(exports(ROOT, stack.name, tools, backend)), end="")
    return 0
