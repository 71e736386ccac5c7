"""Print the exports with which plain `pulumi` and `seedbed` work in this shell: eval "$(make -s env)".

With --rehearsal they are those of the stack as it is rehearsed on the lab's cloud. That shell is then for the rehearsal
only: `pulumi preview`, `up`, `refresh` and `destroy` take --config-file "$SEEDBED_CONFIG_FILE" there, and every command
of seedbed means the rehearsal when it is given the stack's name.
"""

import argparse
import io
import os
import sys
from pathlib import Path

from seedbed import UserError, environment, stackfile
from stacks.files import ROOT
from tools import toolchain
from tools.env import DEV_STACK, render
from tools.progress import Progress

NAME = "env"
HELP = 'print exports for a shell: eval "$(make -s env)"'


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stack", metavar="STACK", nargs="?", default=DEV_STACK, help=f"default {DEV_STACK}")
    parser.add_argument("--rehearsal", action="store_true", help="of the stack as it is rehearsed on the lab's cloud")


def run(arguments: argparse.Namespace) -> int:
    stack = stackfile.rehearsal(arguments.stack) if arguments.rehearsal else stackfile.load(arguments.stack)
    refuse_another(stack)
    # What is said about a toolchain that is there already would only stand in the way, at every new shell.
    there = (ROOT / ".tools" / "pulumi-home" / "plugins").is_dir()
    tools = toolchain.ensure(Progress(io.StringIO() if there else None))
    if stack.identity_file is not None and environment.lab_backend(stack) is None:
        again = f"seedbed rehearse {stack.name}" if stack.rehearsal else "make up"
        print(f"The lab of stack {stack.name} is not up, so there is no state store yet: {again}", file=sys.stderr)
    print(render(environment.additions(stack, tools, os.environ)), end="")
    return 0


def refuse_another(stack: stackfile.StackFile) -> None:
    """Raises UserError in the shell of a rehearsal of something else: the keys of the two would be mixed."""
    file = os.environ.get(stackfile.REHEARSAL)
    if file and file != str(stack.path):
        raise UserError(f"this shell is of a rehearsal, by {Path(file).name}: open another one for stack {stack.name}")
