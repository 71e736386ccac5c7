"""Replace what a stack has kept secret for long enough.

`rotate sealing-key STACK` adds a sealing key to the identity, writes its public certificate, and seals every SealedSecret of
the stack's tree again for it, offline and in place. The older keys stay, so that git's history opens too. Nothing is
written if one SealedSecret does not open. A rotation that was interrupted is finished by the next one.
"""

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from seedbed import identities, sealing, stackfile
from seedbed.stackfile import StackFile
from stacks.identity import Identity
from stacks.resealing import reseal
from stacks.sealing import newest, shown, unopenable
from stacks.seed_settings import Seed
from tools.files import write_all

NAME = "rotate"
HELP = "make a new sealing key and seal everything again for it"


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    key = verbs.add_parser("sealing-key", help="a new key for SealedSecrets", description=__doc__)
    key.add_argument("stack", metavar="STACK")


def run(arguments: argparse.Namespace) -> int:
    stack = stackfile.load(arguments.stack)
    print(next_steps(stack, rotate_sealing_key(stack, os.environ)))
    return 0


@dataclass(frozen=True)
class Rotation:
    """`finished`: no key was made, an earlier rotation was brought to its end; `files` were sealed again."""

    finished: bool
    files: list[Path]
    keys: int


def rotate_sealing_key(stack: StackFile, environment: Mapping[str, str]) -> Rotation:
    """See the module. Raises UserError, SettingsError, IdentityError or SealingError, having changed nothing.

    The identity takes its place first: whatever stops this after that, everything in the tree opens with it.
    """
    seed = sealing.seed_of(stack)
    identity = identities.read(stack, environment)
    certificate = sealing.certificate_file(stack)
    finished = _unfinished(identity, stack, seed)
    rotated = identity if finished else identity.with_new_sealing_key()
    new = newest(rotated.sealing_keys)
    files = reseal(seed.tree, seed.environments, rotated.sealing_keys, new, stack.name)
    identity_files = {} if finished else identities.stored(stack, rotated, environment)
    write_all({**identity_files, certificate: new.crt, **files})
    return Rotation(finished, list(files), len(rotated.sealing_keys))


def next_steps(stack: StackFile, rotation: Rotation) -> str:
    """What happened, and what to do in which order."""
    if rotation.finished:
        done = (
            f"An earlier rotation of stack {stack.name} was not at its end, and now is; run this again for another key."
        )
    else:
        done = f"Stack {stack.name} has a new sealing key; with the older ones it has {rotation.keys}."
    lines = [
        done,
        f"Sealed again for it: {len(rotation.files)} files",
        *(f"  {shown(file)}" for file in rotation.files),
    ]
    if stack.identity_file is not None:
        return "\n".join([*lines, "", "Next: `make up`, which gives the cluster the key and pushes the tree."])
    return "\n".join(
        [
            *lines,
            "",
            "Next, in this order:",
            f" 1. pulumi up --stack {stack.name}      (gives the cluster the key; until then the new files do not open there)",
            f" 2. commit {stack.path.name}, {shown(sealing.certificate_file(stack))} and the files above, and push",
        ]
    )


def _unfinished(identity: Identity, stack: StackFile, seed: Seed) -> bool:
    """Whether there is a key that not everything is sealed for yet, which a rotation leaves that was interrupted."""
    if len(identity.sealing_keys) < 2:
        return False
    if sealing.stale_certificate(sealing.certificate_file(stack), identity, stack.name):
        return True
    return bool(unopenable(seed.tree, seed.environments, [newest(identity.sealing_keys)]))
