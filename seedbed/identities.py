"""Where a stack's identity is kept, and how the command line reads it: from the yaml or the lab's file, offline."""

from collections.abc import Mapping

from seedbed import UserError, passphrase
from seedbed.stackfile import StackFile
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
