"""Seal what the lab's tree leaves unsealed: a lab has its own key, so nothing that is committed could open on it."""

import secrets
from collections.abc import Sequence
from pathlib import Path

from stacks.identity import Identity
from stacks.resealing import fill, reseal
from stacks.sealing import newest, unopenable
from tools.files import write_all


def seal_tree(
    tree: Path, stack: str, environments: Sequence[str], identity: Identity, before: Path, *, replace: bool = False
) -> None:
    """Writes `tree`/sealing/STACK.pem and seals every empty value of a SealedSecret that the stack's cluster gets.

    Each is a random text of 32 characters, a secret of this lab and of nothing else. `before` is the tree as it was pushed
    last, which may be `tree` itself or missing: what is sealed there and opens stays as it is, so that nothing changes from
    one push to the next. With `replace` what is sealed for somebody else, as for the real stack that is rehearsed, becomes
    such a random text too. Raises stacks.sealing.SealingError where a file cannot be read.
    """
    new = newest(identity.sealing_keys)
    texts = fill(
        tree,
        environments,
        identity.sealing_keys,
        new.crt,
        before=before,
        value=lambda: secrets.token_urlsafe(24).encode(),
        replace=replace,
    )
    write_all({tree / "sealing" / f"{stack}.pem": new.crt, **texts})


def renew_tree(tree: Path, stack: str, environments: Sequence[str], identity: Identity) -> None:
    """After a rotation of the sealing key: seals everything in the tree again for the newest one, whoever sealed it.

    Leaves all as it is where something opens with no key, as a bad push: what looks at the tree next names it.
    Raises stacks.sealing.SealingError where a value cannot be changed in its place.
    """
    keys = identity.sealing_keys
    new = newest(keys)
    if len(keys) > 1 and unopenable(tree, environments, [new]) and not unopenable(tree, environments, keys):
        write_all(reseal(tree, environments, keys, new, stack))
