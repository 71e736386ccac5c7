"""The environment in which `pulumi` works on a stack: what is exported already, and what the clone and the lab add."""

from collections.abc import Mapping
from pathlib import Path

from seedbed import stackfile
from seedbed.stackfile import REHEARSAL, StackFile
from seedbed.store import VARIABLE as BACKEND_URL
from stacks.files import ROOT
from tools import dropins
from tools.env import PASSPHRASE, Backend, exports
from tools.toolchain import Source, Toolchain


def lab_backend(stack: StackFile) -> Backend | None:
    """The state store of a stack that lives on the lab; None where it does not, or the lab was never up."""
    if stack.identity_file is None:
        return None
    # The lab's modules are imported for a stack of the lab only: half of a second that no other has to wait for.
    from lab.internet import gateway, s3

    server = s3.load(stack.identity_file.parent)
    if server is None:
        return None
    return Backend(server.backend_url(), server.access_key, server.secret_key, gateway.REGION)


def additions(
    stack: StackFile, toolchain: Toolchain, environ: Mapping[str, str], root: Path = ROOT, *, keep_backend: bool = False
) -> dict[str, str]:
    """What has to be set beside `environ`. A rehearsal gets all of its own, whatever is exported: never the real thing's.

    With `keep_backend` a backend that is exported is kept otherwise, because it is what `pulumi` would use.
    """
    kept = keep_backend and bool(environ.get(BACKEND_URL)) and not stack.rehearsal
    variables = exports(root, stack.name, toolchain, None if kept else lab_backend(stack), environ)
    if stack.identity_file is not None:
        from lab.cloud import environment as cloud

        variables |= cloud.environment(stack.identity_file.parent)
    if stack.rehearsal:
        variables |= {REHEARSAL: str(stack.path), PASSPHRASE: stackfile.rehearsal_passphrase(stack.path.parent)}
    return variables


def of(stack: StackFile, environ: Mapping[str, str], root: Path = ROOT) -> dict[str, str]:
    """All variables, for a command that builds nothing: what `environ` has, and what the clone would add to it."""
    found = Toolchain(
        pulumi=root / ".tools" / "bin" / "pulumi",
        version="",
        source=Source.PATH,
        home=root / ".tools" / "pulumi-home",
        drop_ins=[name for name in dropins.PROVIDERS if dropins.is_provider_drop_in(root, name)],
    )
    return {**environ, **additions(stack, found, environ, root, keep_backend=True)}
