"""The CLI and its plugins."""

import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from shutil import which

from seedbed.findings import Finding, fail, ok, warn
from tools import ToolError
from tools.versions import required, satisfies

LIMIT_SECONDS = 20


def check_cli(environment: Mapping[str, str], root: Path) -> Finding:
    """On PATH, and in the range that Pulumi.yaml demands."""
    program = which("pulumi", path=environment.get("PATH", ""))
    if program is None:
        return fail("pulumi CLI: not on PATH", 'Run `make up`, or in this shell: eval "$(make -s env)"')
    try:
        said = subprocess.run(
            [program, "version"],
            env={**environment, "PULUMI_SKIP_UPDATE_CHECK": "true"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return fail(f"pulumi CLI: {program} does not run ({error})", "Remove it, and run `make up`.")
    try:
        demanded = required(root)
        in_range = satisfies(said, demanded)
    except (ToolError, OSError) as error:
        return fail("pulumi CLI: the range that Pulumi.yaml demands cannot be read", str(error))
    if not in_range:
        return fail(
            f"pulumi CLI: {said} is outside the range {demanded} of Pulumi.yaml",
            'In this shell: eval "$(make -s env)", which puts a CLI of that range first on PATH.',
        )
    return ok(f"pulumi CLI: {said} ({program})")


def check_plugins(environment: Mapping[str, str], packages: Sequence[str]) -> list[Finding]:
    """The resource plugins, in the version of the Python package, in PULUMI_HOME or on PATH."""
    return [_check_plugin(environment, package) for package in packages]


def _check_plugin(environment: Mapping[str, str], package: str) -> Finding:
    try:
        version = metadata.version(f"pulumi-{package}")
    except metadata.PackageNotFoundError:
        return fail(f"plugin {package}: its Python package is not installed", "Run `make up`.")
    home = Path(environment.get("PULUMI_HOME") or Path.home() / ".pulumi")
    folder = home / "plugins" / f"resource-{package}-v{version}"
    if folder.is_dir() or which(f"pulumi-resource-{package}", path=environment.get("PATH", "")):
        return ok(f"plugin {package}: {version}")
    if environment.get("PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", "") not in ("true", "1"):
        return warn(f"plugin {package}: {version} is not here yet", "The CLI downloads it at the first preview.")
    return fail(f"plugin {package}: {version} is missing in {folder.parent}", "Run `make up`, which puts it there.")
