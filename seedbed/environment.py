"""The environment in which `pulumi` works on a stack: what is exported already, and what the clone and the lab add."""

from collections.abc import Mapping
from pathlib import Path

from lab.internet import s3
from seedbed.stackfile import StackFile
from seedbed.store import VARIABLE as BACKEND_URL
from stacks.config import ROOT
from tools import dropins
from tools.env import Backend, exports
from tools.toolchain import Source, Toolchain


def lab_backend(stack: StackFile) -> Backend | None:
    """The state store of a stack that lives on the lab; None where it does not, or the lab was never up."""
    if stack.identity_file is None:
        return None
    server = s3.load(stack.identity_file.parent)
    if server is None:
        return None
    return Backend(server.backend_url(), server.access_key, server.secret_key, s3.REGION)


def of(stack: StackFile, environ: Mapping[str, str], root: Path = ROOT) -> dict[str, str]:
    """All variables, for a command that builds nothing: what `environ` has, and what the clone would add to it.

    A backend that is exported is kept, because it is what `pulumi` would use.
    """
    found = Toolchain(
        pulumi=root / ".tools" / "bin" / "pulumi",
        version="",
        source=Source.PATH,
        home=root / ".tools" / "pulumi-home",
        drop_ins=[name for name in dropins.PROVIDERS if dropins.is_provider_drop_in(root, name)],
    )
    backend = None if environ.get(BACKEND_URL) else lab_backend(stack)
    return {**environ, **exports(root, stack.name, found, backend, environ)}
