"""The environment in which plain `pulumi preview` and `pulumi up` work on this clone."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.toolchain import Toolchain

DEV_STACK = "dev"
"""The stack on the lab: its passphrase is public and stands in .env.example."""

PASSPHRASE = "PULUMI_CONFIG_PASSPHRASE"  # noqa: S105 - a name


@dataclass(frozen=True)
class Backend:
    """Where the state is: the URL for PULUMI_BACKEND_URL and the keys of the S3 server."""

    url: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"


def exports(
    clone: Path,
    stack: str,
    toolchain: Toolchain,
    backend: Backend | None,
    environ: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The variables to set, given those that are set already (`environ`, os.environ when None).

    Without a backend those of the state's are left as they are. A passphrase that is set, or the name of a file with
    one, is never replaced; where none is, the dev stack gets the one of `.env`, or else of `.env.example`.
    """
    environ = os.environ if environ is None else environ
    variables = {
        "PATH": _path(clone, environ.get("PATH", os.defpath)),
        "PULUMI_HOME": str(toolchain.home),
        "PULUMI_STACK": stack,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # Our stores are new ones, in project mode: no need to look for the old layout at each command.
        "PULUMI_DIY_BACKEND_NO_LEGACY_WARNING": "true",
        # A stack's yaml that lost its salt would get a new one, and state and config would part.
        "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
    }
    if toolchain.drop_ins:
        # What has no drop-in fails at once and by name, instead of after a download that cannot succeed.
        variables["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
        variables["PULUMI_IGNORE_AMBIENT_PLUGINS"] = "true"
    if backend is not None:
        variables |= {
            "PULUMI_BACKEND_URL": backend.url,
            "AWS_ACCESS_KEY_ID": backend.access_key,
            "AWS_SECRET_ACCESS_KEY": backend.secret_key,
            "AWS_REGION": backend.region,
        }
        # Of another account, they would be mixed with the keys above; empty counts as unset.
        variables |= {name: "" for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN") if environ.get(name)}
    if stack == DEV_STACK and PASSPHRASE not in environ and f"{PASSPHRASE}_FILE" not in environ:
        passphrase = _from_files(PASSPHRASE, [clone / ".env", clone / ".env.example"])
        if passphrase is not None:
            variables[PASSPHRASE] = passphrase
    return variables


def render(variables: Mapping[str, str]) -> str:
    """`variables` as lines that a POSIX shell takes by `eval`."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def read_env_file(file: Path) -> dict[str, str]:
    """The variables of a file of `NAME=value` lines; comments, a leading `export` and quotes are understood."""
    variables = {}
    for line in file.read_text().splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and name.isidentifier():
            words = shlex.split(value, comments=True)
            variables[name] = words[0] if words else ""
    return variables


def _path(clone: Path, path: str) -> str:
    """PATH with the clone's own folders first, and no folder twice however often it is evaluated."""
    first = [clone / ".tools" / "bin", clone / ".venv" / "bin"]
    return os.pathsep.join(dict.fromkeys([*map(str, first), *path.split(os.pathsep)]))


def _from_files(name: str, files: list[Path]) -> str | None:
    for file in files:
        if file.is_file():
            value = read_env_file(file).get(name)
            if value:
                return value
    return None
