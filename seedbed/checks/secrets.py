"""The passphrase and the identity."""

from collections.abc import Mapping

from seedbed import UserError, identities, passphrase
from seedbed.findings import Finding, fail, ok, warn
from seedbed.stackfile import StackFile
from stacks.config import ROOT
from stacks.identity import Identity, IdentityError


def check_passphrase(stack: StackFile, environment: Mapping[str, str]) -> Finding:
    """Set, not empty, the one that the stack's salt was made with, and not the published one on a real stack."""
    try:
        identities.refuse_other_providers(stack)
        value = passphrase.from_environment(environment)
        if stack.salt is None:
            return warn(
                f"passphrase: set, and {stack.path.name} has no `encryptionsalt` to try it on",
                f"`seedbed init {stack.name}` makes one, with the stack's identity.",
            )
        passphrase.Crypter.open(stack.salt, value)
    except UserError as error:
        return fail("passphrase: does not work", str(error))
    if stack.sealed_identity is not None and value == passphrase.public_passphrase(ROOT):
        return fail(
            "passphrase: is the dev stack's, which .env.example publishes",
            "The keys of this stack are open to everyone who has the repository. Take the identity and the "
            f"`encryptionsalt` out of {stack.path.name} and run `seedbed init {stack.name}` with another passphrase.",
        )
    return ok("passphrase: right")


def check_identity(stack: StackFile, environment: Mapping[str, str]) -> tuple[Finding, Identity | None]:
    """Present and complete; the identity comes along for the checks that need it."""
    try:
        identity = identities.read(stack, environment)
    except (UserError, IdentityError) as error:
        return fail("identity: cannot be read", str(error)), None
    return ok("identity: present and complete"), identity
