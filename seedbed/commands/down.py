"""Remove the lab of a stack from this machine: hosts, services, network, and the stack's state, which was in the lab.

Works on a lab that is half made or crashed. The cache of what was built stays, unless it is purged.
"""

import argparse
import shutil
import sys

from lab import machine, stack_lab
from seedbed import UserError, stackfile
from tools import cache
from tools.env import DEV_STACK
from tools.progress import Progress

NAME = "down"
HELP = "remove the lab of a stack without trace"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stack", metavar="STACK", nargs="?", default=DEV_STACK, help=f"default {DEV_STACK}")
    parser.add_argument("--purge-cache", action="store_true", help="also remove everything built and downloaded")


def run(arguments: argparse.Namespace) -> int:
    progress = Progress(sys.stdout)
    remove(arguments.stack, progress)
    if arguments.purge_cache:
        folder = cache.root()
        if machine.claims():
            raise UserError(f"{folder} stays: other labs of this machine run on it; take them down first")
        with progress.phase(f"removal of {folder}"):
            shutil.rmtree(folder)
    return 0


def remove(name: str, progress: Progress) -> None:
    """Takes the lab of the stack, or of its rehearsal, down. Raises UserError where a stack of real machines has neither."""
    stack = stackfile.committed(name)
    if stack.identity_file is not None:
        directory = stack.identity_file.parent
    else:
        directory = stackfile.rehearsal_path(name).parent
        if not directory.exists() and machine.claim_of(name) is None:
            raise UserError(
                f"stack {name} does not live on the lab and is not rehearsed there: its machines are not this command's "
                "to remove"
            )
    if machine.why_not() and not directory.exists():
        return  # where there can be no lab there is none
    stack_lab.down(name, directory, progress)
    if directory.parent.is_dir() and not any(directory.parent.iterdir()):
        directory.parent.rmdir()
