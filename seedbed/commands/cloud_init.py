"""Print the cloud-init user data with which to make one machine of a stack by hand.

It gives the machine its hostname, the SSH host key that the program has pinned, and the operator's public key. It
holds the machine's private host key: treat it as a secret.
"""

import argparse
import os
import sys

import yaml

from seedbed import UserError, identities, stackfile
from stacks.identity import SshKey
from stacks.settings import Settings

NAME = "cloud-init"
HELP = "print the user data with which to make one machine by hand (secret)"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stack", metavar="STACK")
    parser.add_argument("machine", metavar="MACHINE", help="its name, with or without the generation")


def run(arguments: argparse.Namespace) -> int:
    stack = stackfile.load(arguments.stack)
    settings = stackfile.settings(stack, lab_is_made=False)
    if settings.digitalocean is not None:
        raise UserError(
            f"stack {stack.name} makes its machines itself, each with its user data: `pulumi up --stack {stack.name}`"
        )
    identity = identities.read(stack, os.environ)
    name = full_name(settings, arguments.machine)
    print(user_data(name, identity.host_key(name), identity.operator_public_key, settings.ssh.user), end="")
    print(f"The above holds the private host key of {name}: treat it as a secret.", file=sys.stderr)
    return 0


def full_name(settings: Settings, machine: str) -> str:
    """The machine's full name. Raises UserError where the settings know no such machine."""
    names = {settings.full_name(name) for name in settings.machines}
    if machine in settings.machines:
        return settings.full_name(machine)
    if machine in names:
        return machine
    raise UserError(f"there is no machine {machine!r} in this stack; there are {', '.join(sorted(names))}")


def user_data(name: str, host_key: SshKey, operator_public_key: str, user: str) -> str:
    """The user data as text. Fields: cloud-init's modules ssh, set_hostname and users_groups."""
    data: dict[str, object] = {
        "hostname": name,
        "preserve_hostname": False,
        "ssh_deletekeys": True,
        "ssh_genkeytypes": [],
        "ssh_keys": {"ed25519_private": host_key.private, "ed25519_public": host_key.public},
        "ssh_pwauth": False,
    }
    if user == "root":
        data |= {"disable_root": False, "users": [{"name": "root", "ssh_authorized_keys": [operator_public_key]}]}
    else:
        data["users"] = [
            {
                "name": user,
                "shell": "/bin/bash",
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "lock_passwd": True,
                "ssh_authorized_keys": [operator_public_key],
            }
        ]
    return "#cloud-config\n" + yaml.safe_dump(data, sort_keys=False, width=1000)
