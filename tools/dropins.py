"""The drop-in plugins: what the engine finds in the place of a language host or a provider that cannot be had.

A drop-in is a launcher, a file of a few lines of shell that starts Python code of this clone by the clone's own
interpreter. Where the engine looks is told by github.com/pulumi/pulumi/sdk/v3 v3.232.0, go/common/workspace/plugins.go:
a language host beside the CLI's own file, a provider in `$PULUMI_HOME/plugins/resource-NAME-vVERSION/`.
"""

import os
import shlex
import shutil
import tempfile
from pathlib import Path

from tools import ToolError
from tools.versions import pinned

PROVIDERS = ("command", "digitalocean", "kubernetes")
"""The providers that a drop-in exists for, in lab/plugins/."""

MARK = "# Made by seedbed: a drop-in, not the official plugin."


def install_language_host(clone: Path) -> bool:
    """Put the launcher of lab/plugins/language beside the CLI in `.tools/bin`; False if it was there."""
    # -u, as the official host starts Python, so that what the program prints is seen when it prints; -P, so that the
    # host's own folder is not on the program's path.
    host = clone / "lab" / "plugins" / "language" / "host.py"
    return _write(clone, clone / ".tools" / "bin" / "pulumi-language-python", ["-u", "-P", str(host)])


def provider_folder(clone: Path, name: str) -> Path:
    """Where the engine looks for the provider, in the version of the pinned SDK package: it then asks for no other."""
    version = pinned(clone, f"pulumi-{name}")
    return clone / ".tools" / "pulumi-home" / "plugins" / f"resource-{name}-v{version}"


def install_provider(clone: Path, name: str) -> bool:
    """Put the launcher of lab/plugins/`name` where the engine looks for the provider; False if it was there."""
    start = (
        f"import runpy, sys; sys.path.insert(0, {str(clone)!r});"
        f" runpy.run_module('lab.plugins.{name}', run_name='__main__', alter_sys=True)"
    )
    return _write(clone, provider_folder(clone, name) / f"pulumi-resource-{name}", ["-u", "-P", "-c", start])


def is_provider_drop_in(clone: Path, name: str) -> bool:
    """Whether what the engine would find for the provider is a drop-in."""
    return is_drop_in(provider_folder(clone, name) / f"pulumi-resource-{name}")


def remove_provider(clone: Path, name: str) -> None:
    """Take the provider's drop-ins away, those of other versions too; official plugins stay."""
    for folder in (clone / ".tools" / "pulumi-home" / "plugins").glob(f"resource-{name}-v*"):
        if is_drop_in(folder / f"pulumi-resource-{name}"):
            shutil.rmtree(folder)


def is_drop_in(launcher: Path) -> bool:
    try:
        with launcher.open("rb") as file:
            return MARK.encode() in file.read(200)
    except OSError:
        return False


def _write(clone: Path, launcher: Path, arguments: list[str]) -> bool:
    """Write the launcher, by renaming: an engine that runs at this moment finds a whole file or none."""
    python = clone / ".venv" / "bin" / "python"
    if not python.exists():
        raise ToolError(f"{python} is missing: run `make` in {clone}")
    text = f'#!/bin/sh\n{MARK}\nexec {shlex.join([str(python), *arguments])} "$@"\n'
    if launcher.is_file() and launcher.read_text(errors="replace") == text and os.access(launcher, os.X_OK):
        return False
    launcher.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{launcher.name}.", dir=launcher.parent)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    Path(name).chmod(0o755)
    Path(name).rename(launcher)
    return True
