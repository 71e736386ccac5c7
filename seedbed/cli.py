"""The command line: one module a verb, and the one place where errors become text."""

import argparse
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from lab import LabError
from seedbed import UserError
from seedbed.commands import (
    cloud_init,
    cost,
    deploy_key,
    doctor,
    down,
    drill,
    env,
    init,
    kubeconfig,
    lab,
    rehearse,
    roll,
    rotate,
    seal,
    ssh,
    state,
    sync,
    unseal_check,
    up,
)
from stacks.identity import IdentityError
from stacks.sealing import SealingError
from stacks.settings import SettingsError
from tools import ToolError

COMMANDS: tuple[ModuleType, ...] = (
    up,
    roll,
    rehearse,
    sync,
    down,
    doctor,
    cost,
    kubeconfig,
    ssh,
    init,
    state,
    cloud_init,
    deploy_key,
    seal,
    unseal_check,
    rotate,
    drill,
    env,
    lab,
)

EXPECTED = (UserError, LabError, ToolError, IdentityError, SettingsError, SealingError)
"""What a person can put right: shown as `error: …`, without a traceback."""

INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """The whole grammar; each module of `seedbed.commands` adds its verb."""
    top = argparse.ArgumentParser(prog="seedbed", description="Machines into a GitOps cluster, once, with Pulumi.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    for module in COMMANDS:
        verb = verbs.add_parser(module.NAME, help=module.HELP, description=module.__doc__)
        module.configure(verb)
        verb.set_defaults(run=module.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; gives back the exit code. `SEEDBED_DEBUG=1` lets errors through with their traceback."""
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except EXPECTED as error:
        if os.environ.get("SEEDBED_DEBUG", "") not in ("", "0"):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of a pipe (`| head`) has left; Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
