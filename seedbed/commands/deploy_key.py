"""Print the public deploy key of a stack, to be registered at the forge as read-only.

It is derived from the identity; ArgoCD reads the repository with its private half. The number is the stack's
`seedbed:seed.repository.deployKey`: to replace a key, print and register the next number's, then raise it there.
"""

import argparse
import os

from seedbed import UserError, identities, stackfile

NAME = "deploy-key"
HELP = "print the public key that reads the repository, for the forge"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stack", metavar="STACK")
    parser.add_argument("--number", type=int, metavar="N", help="of another key than the one that the settings name")


def run(arguments: argparse.Namespace) -> int:
    stack = stackfile.load(arguments.stack)
    number = arguments.number
    if number is None:
        seed = stackfile.settings(stack, lab_is_made=False).seed
        if seed is None:
            raise UserError(
                f"{stack.path.name} has no section seedbed:seed, so no repository is read; --number N prints a key"
            )
        number = seed.repository.deploy_key
    if number < 1:
        raise UserError(f"--number {number}: deploy keys are numbered from 1")
    print(f"{identities.read(stack, os.environ).deploy_key(number).public} seedbed-{stack.name}-deploy-{number}")
    return 0
