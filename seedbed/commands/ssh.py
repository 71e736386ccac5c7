"""Log in to a machine of a stack with the operator's key, or run a command there, and let nobody else's machine answer.

Key and host key come from the identity, and the address from the settings or, where a cloud gave it, from the stack's
state; nothing of your own SSH set-up counts. A machine is replaced, never repaired: look, and change nothing by hand.
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from components.remote import session
from components.remote.session import Login
from seedbed import UserError, engine, environment, identities, stackfile
from seedbed.commands.cloud_init import full_name
from seedbed.stackfile import StackFile
from stacks.identity import Identity
from stacks.settings import Settings

NAME = "ssh"
HELP = "log in to a machine of a stack, or run a command there"

NODES = "nodes"
"""The stack's output."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stack", metavar="STACK")
    parser.add_argument("machine", metavar="MACHINE", help="its name, with or without the generation")
    parser.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER, help="default: a shell")


def run(arguments: argparse.Namespace) -> int:
    stack = stackfile.load(arguments.stack)
    settings = stackfile.settings(stack)
    name = full_name(settings, arguments.machine)
    target = address(stack, settings, name, os.environ)
    identity = identities.read(stack, os.environ)
    words = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    with tempfile.TemporaryDirectory(prefix="seedbed-") as folder:
        argv = session.argv(Path(folder), login(settings, identity, name, target), identity.operator_key)
        try:
            return subprocess.run([*argv, *words], check=False).returncode
        except FileNotFoundError:
            raise UserError(str(session.NoClientError())) from None


def address(stack: StackFile, settings: Settings, name: str, environ: Mapping[str, str]) -> str:
    """Where the machine of this full name is. Raises UserError where the state does not tell."""
    machine = next(machine for short, machine in settings.machines.items() if settings.full_name(short) == name)
    if machine.address is not None:
        return str(machine.address)
    try:
        told = json.loads(engine.output(stack, NODES, environment.of(stack, environ)))
        return str(told[name]["publicAddress"])
    except (ValueError, TypeError, KeyError):
        raise UserError(f"the state of stack {stack.name} knows no address of {name}: `pulumi up` makes it") from None


def login(settings: Settings, identity: Identity, name: str, target: str) -> Login:
    """How the machine of this full name, which is at `target`, is logged in to."""
    short = next(short for short in settings.machines if settings.full_name(short) == name)
    host_key = settings.machines[short].host_key or identity.host_key(name).public
    return Login(machine=name, address=target, port=settings.ssh.port, user=settings.ssh.user, host_key=host_key)
