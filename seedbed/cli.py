"""The command line: one module a verb, and the one place where errors become text."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

COMMANDS = (
    "up",
    "roll",
    "review",
    "apply",
    "rehearse",
    "sync",
    "down",
    "doctor",
    "cost",
    "kubeconfig",
    "ssh",
    "init",
    "state",
    "cloud-init",
    "deploy-key",
    "seal",
    "unseal-check",
    "rotate",
    "drift",
    "drill",
    "env",
    "lab",
)
"""The verbs. Each is a module of `seedbed.commands`, and only that of the verb that is given is imported: all of them
together take as long as half a preview."""

INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """As usual, but for the exit code: `seedbed review` has a meaning of its own for argparse's."""
        self.print_usage(sys.stderr)
        self.exit(1, f"{self.prog}: error: {message}\n")


def module(verb: str) -> ModuleType:
    """The module of a verb."""
    return importlib.import_module(f"seedbed.commands.{verb.replace('-', '_')}")


def parser(verbs: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """The grammar of these verbs; each module of `seedbed.commands` adds its own."""
    top = _Parser(prog="seedbed", description="Machines into a GitOps cluster, once, with Pulumi.")
    added = top.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    for name in verbs:
        found = module(name)
        verb = added.add_parser(found.NAME, help=found.HELP, description=found.__doc__)
        found.configure(verb)
        verb.set_defaults(run=found.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; gives back the exit code. `SEEDBED_DEBUG=1` lets errors through with their traceback."""
    words = sys.argv[1:] if argv is None else list(argv)
    arguments = parser([words[0]] if words[:1] and words[0] in COMMANDS else COMMANDS).parse_args(words)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe (`| head`) has left; Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get("SEEDBED_DEBUG", "") not in ("", "0") or not isinstance(error, expected()):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1


def expected() -> tuple[type[Exception], ...]:
    """What a person can put right: shown as `error: …`, without a traceback."""
    from lab import LabError
    from seedbed import UserError
    from stacks.identity import IdentityError
    from stacks.sealing import SealingError
    from stacks.settings import SettingsError
    from tools import ToolError

    return (UserError, LabError, ToolError, IdentityError, SettingsError, SealingError)
