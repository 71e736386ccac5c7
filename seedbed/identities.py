"""Where a stack's identity is kept, and how the command line reads it: from the yaml or the lab's file, offline."""

from collections.abc import Mapping
from pathlib import Path

from seedbed import UserError, passphrase
from seedbed.stackfile import StackFile, with_other_identity
from stacks.identity import Identity


def read(stack: StackFile, environment: Mapping[str, str]) -> Identity:
    """The stack's identity. Needs the passphrase where it is encrypted; never the CLI, the network or the state.

    Raises UserError, or stacks.identity.IdentityError, with what to do.
    """
    file = stack.identity_file
    if file is not None:
        return Identity.from_file(file)
    sealed = stack.sealed_identity
    if sealed is None:
        raise UserError(f"stack {stack.name} has no identity yet: run `seedbed init {stack.name}`")
    return Identity.from_json(crypter(stack, environment).decrypt(sealed), stack.path.name)


def stored(stack: StackFile, identity: Identity, environment: Mapping[str, str]) -> dict[Path, str]:
    """The file that holds the stack's identity, and its new text with `identity` in the place of the one it has.

    Raises UserError where salt or passphrase are missing or wrong, or the old one cannot be found in the text.
    """
    if stack.identity_file is not None:
        return {stack.identity_file: identity.to_json()}
    opened = crypter(stack, environment)
    sealed = opened.encrypt(identity.to_json())
    text = with_other_identity(stack, sealed)
    if Identity.from_json(opened.decrypt(sealed), stack.path.name) != identity:
        raise UserError("the identity reads back as something else once it is encrypted; report it")
    return {stack.path: text}


def crypter(stack: StackFile, environment: Mapping[str, str]) -> passphrase.Crypter:
    """What opens the secrets of the stack's yaml. Raises UserError where salt or passphrase are missing or wrong."""
    refuse_other_providers(stack)
    if stack.salt is None:
        raise UserError(f"{stack.path.name} has secrets but no `encryptionsalt`; take it from git history")
    return passphrase.Crypter.open(stack.salt, passphrase.from_environment(environment))


def refuse_other_providers(stack: StackFile) -> None:
    """Raises UserError where the stack's secrets are not kept with a passphrase."""
    if stack.secrets_provider not in (None, "passphrase", "default"):
        raise UserError(
            f"{stack.path.name} names the secrets provider {stack.secrets_provider!r}; seedbed keeps secrets with a "
            "passphrase, so that git and that passphrase are enough to rebuild the cluster"
        )
