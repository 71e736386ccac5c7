"""Where a stack's sealed files and its public certificate are, as the command line needs them."""

from pathlib import Path

from seedbed import UserError, stackfile
from seedbed.stackfile import StackFile
from stacks.identity import Identity
from stacks.sealing import SealingError, certificate_of, newest, shown
from stacks.seed_settings import PATH, Seed

_TREE = "k8s"


def certificate_file(stack: StackFile) -> Path:
    """TREE/sealing/STACK.pem: what everyone seals with, public and committed. Does not look whether it is there."""
    section = stack.config.get(PATH)
    tree = section.get("tree", _TREE) if isinstance(section, dict) else _TREE
    return stack.root / str(tree) / "sealing" / f"{stack.name}.pem"


def certificate(file: Path, remedy: str) -> str:
    """The PEM text of a certificate. Raises UserError with `remedy` where there is none."""
    try:
        text = file.read_text()
        certificate_of(text)
    except FileNotFoundError:
        raise UserError(f"{shown(file)} does not exist; {remedy}") from None
    except (OSError, UnicodeDecodeError, SealingError):
        raise UserError(
            f"{shown(file)} cannot be read as a PEM certificate; take it from git history, or {remedy}"
        ) from None
    return text


def stale_certificate(file: Path, identity: Identity, stack: str) -> str | None:
    """What is wrong with the public certificate, or None. Raises UserError where the file is no certificate."""
    remedy = f"run `seedbed unseal-check {stack} --write-certificate` and commit it"
    if not file.exists():
        return f"{shown(file)} does not exist, so nobody can seal for the stack; {remedy}"
    written = certificate_of(certificate(file, remedy))
    if written == certificate_of(newest(identity.sealing_keys).crt):
        return None
    older = any(written == certificate_of(key.crt) for key in identity.sealing_keys)
    what = "the certificate of an older key" if older else "not of this identity: what is sealed with it does not open"
    return f"{shown(file)} is {what}; {remedy}"


def seed_of(stack: StackFile) -> Seed:
    """The stack's section `seed`. Raises UserError where it has none, SettingsError where the settings are wrong."""
    seed = stackfile.settings(stack).seed
    if seed is None:
        raise UserError(
            f"{stack.path.name} has no {PATH}, so nothing says which tree is the stack's; see docs/reference/settings.md"
        )
    return seed
