"""Try every SealedSecret of a stack's tree against the identity's sealing keys, offline, and name what would not open.

Exit code 1 if there is one. No plaintext is shown. Warns where TREE/sealing/STACK.pem, which everyone seals with, is not the
identity's newest certificate.
"""

import argparse
import os
import sys

from seedbed import identities, sealing, stackfile
from stacks.identity import Identity
from stacks.sealed_files import Found, find
from stacks.sealing import Opener, entries, newest, shown
from stacks.seed_settings import Seed
from tools.files import write_all

NAME = "unseal-check"
HELP = "check that the stack's keys open every SealedSecret of its tree"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stack", metavar="STACK")
    parser.add_argument(
        "--write-certificate", action="store_true", help="first put the newest certificate into its file"
    )


def run(arguments: argparse.Namespace) -> int:
    stack = stackfile.load(arguments.stack)
    seed = sealing.seed_of(stack)
    identity = identities.read(stack, os.environ)
    file = sealing.certificate_file(stack)
    if arguments.write_certificate:
        write_all({file: newest(identity.sealing_keys).crt})
    warning = sealing.stale_certificate(file, identity, stack.name)
    if warning:
        print(f"warning: {warning}", file=sys.stderr)
    problems, tried = check(seed, identity, stack.name)
    for problem in problems:
        print(problem)
    print(tried)
    return 1 if problems else 0


def check(seed: Seed, identity: Identity, stack: str) -> tuple[list[str], str]:
    """A line for everything that would not open, and a line that says what was tried."""
    opener = Opener(identity.sealing_keys, stack)
    everything = list(find(seed.tree, seed.environments))
    found = {(one.file, one.position): one for one in everything if isinstance(one, Found)}
    problems = list(dict.fromkeys(line for one in everything for line in opener.problems(one)))
    tried = (
        f"{shown(seed.tree)} for {', '.join(seed.environments)}: {_count(len(found), 'SealedSecret')} with "
        f"{_count(sum(len(entries(one.manifest)) for one in found.values()), 'value')} tried with "
        f"{_count(len(identity.sealing_keys), 'key')}: {_count(len(problems), 'problem') if problems else 'all open'}"
    )
    return problems, tried


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
