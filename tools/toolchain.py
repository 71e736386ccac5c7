"""The Pulumi CLI with its language host and plugins, and the S3 server, from the best source that can be had.

The CLI: the official one on PATH if it is in the range of Pulumi.yaml, else the official release, else a build of the
same CLI from its Go module. The first two bring the Python language host and download the official plugins; beside a
built CLI stand the drop-ins of lab/plugins/.
"""

import os
import shutil
import time
from collections.abc import Set
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tools import ToolError, cache, dropins, release
from tools.download import DownloadError, WrongDigestError, reachable
from tools.gobuild import build
from tools.process import answer, run
from tools.progress import Progress
from tools.versions import BUILT, RELEASE, pinned, required, satisfies

CLONE = Path(__file__).resolve().parents[1]
MODULES = Path(__file__).resolve().parent

TRY_AGAIN_SECONDS = 24 * 3600
"""For how long a download that could not be had is not tried again, so that a machine without it waits for it once."""

PLUGINS_HOST = "https://get.pulumi.com/"


class Source(StrEnum):
    """Where the CLI is from."""

    PATH = "on PATH"
    RELEASE = "release"
    BUILT = "built from its Go module"


@dataclass(frozen=True)
class Cli:
    """A Pulumi CLI: its executable, its version as in "3.232.0", where it is from."""

    pulumi: Path
    version: str
    source: Source


@dataclass(frozen=True)
class Toolchain:
    """All that the engine needs.

    `home` is PULUMI_HOME; `drop_ins` names the plugins that stand in for official ones, as in
    ["language-python", "resource-command"].
    """

    pulumi: Path
    version: str
    source: Source
    home: Path
    drop_ins: list[str]


def ensure(progress: Progress, clone: Path = CLONE) -> Toolchain:
    """The CLI and its plugins, ready to be used; a second call takes milliseconds.

    Raises:
        ToolError: no source works; or what was downloaded is not what was published.
    """
    cli = pulumi_cli(progress, clone)
    drop_ins = install_drop_ins(cli, progress, clone)
    return Toolchain(cli.pulumi, cli.version, cli.source, home(clone), drop_ins)


def home(clone: Path = CLONE) -> Path:
    """PULUMI_HOME of the clone; private, because the CLI logs there."""
    folder = clone / ".tools" / "pulumi-home"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def pulumi_cli(progress: Progress, clone: Path = CLONE) -> Cli:
    """The CLI; where it is not the one on PATH, it is put into the clone's `.tools/bin`."""
    with progress.phase("Pulumi CLI") as phase:
        cli = _from_path(progress, clone) or _from_release(progress, clone) or _from_module(progress, clone)
        phase.note(f"{cli.version}, {cli.source}")
    return cli


def versitygw(progress: Progress, clone: Path = CLONE) -> Path:
    """The S3 server, built from its Go module, in the clone's `.tools/bin`."""
    with progress.phase("S3 server"):
        built = build(
            MODULES / "versitygw",
            "github.com/versity/versitygw/cmd/versitygw",
            "versitygw",
            ldflags="-s -w",
            progress=progress,
        )
        return _place(built, clone / ".tools" / "bin" / "versitygw")


def install_drop_ins(cli: Cli, progress: Progress, clone: Path = CLONE) -> list[str]:
    """Give the engine every plugin of `dropins.PROVIDERS` and the language host; the names of the drop-ins among them.

    With an official CLI the official plugins are downloaded, and a drop-in stands in only for one that cannot be.
    """
    home(clone)
    installed, new = [], False
    if cli.source is Source.BUILT:
        new |= dropins.install_language_host(clone)
        installed.append("language-python")
    for name in dropins.PROVIDERS:
        if cli.source is Source.BUILT or not _official_plugin(cli, name, progress, clone):
            if not dropins.is_provider_drop_in(clone, name):
                shutil.rmtree(dropins.provider_folder(clone, name), ignore_errors=True)
            new |= dropins.install_provider(clone, name)
            installed.append(f"resource-{name}")
    if new:
        progress.line(f"drop-in plugins of this repository, not the official ones: {', '.join(installed)}")
    return installed


def _from_path(progress: Progress, clone: Path) -> Cli | None:
    """The first official CLI on PATH in the supported range, with a language host of its own."""
    for folder in os.get_exec_path():
        pulumi = Path(folder, "pulumi")
        if not os.access(pulumi, os.X_OK) or pulumi.is_dir():
            continue
        resolved = pulumi.resolve()
        if resolved.parts[-3:-1] == (".tools", "bin"):
            continue  # put there by this or another clone of seedbed
        version = _version(pulumi)
        if version is None:
            progress.line(f"{pulumi} does not run and is passed over")
        elif not satisfies(version, required(clone)):
            progress.line(f"{pulumi} is {version}, outside {required(clone)}, and is passed over")
        elif not (resolved.parent / "pulumi-language-python").exists():
            progress.line(f"{pulumi} has no pulumi-language-python beside it and is passed over")
        else:
            _clear(clone)
            return Cli(pulumi, version, Source.PATH)
    return None


def _from_release(progress: Progress, clone: Path) -> Cli | None:
    """The official release, unless it could not be had a short while ago."""
    if _tried(f"pulumi-{RELEASE}"):
        return None
    try:
        folder = release.folder(progress)
    except WrongDigestError:
        raise
    except DownloadError as error:
        progress.line(f"the release of the Pulumi CLI cannot be had here: {error}")
        _remember(f"pulumi-{RELEASE}")
        return None
    files = sorted(file for file in folder.iterdir() if file.name.startswith("pulumi"))
    _clear(clone, keep={file.name for file in files})
    for file in files:
        _place(file, clone / ".tools" / "bin" / file.name)
    return Cli(clone / ".tools" / "bin" / "pulumi", RELEASE, Source.RELEASE)


def _from_module(progress: Progress, clone: Path) -> Cli:
    """A build of the CLI."""
    built = build(
        MODULES / "pulumi",
        "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
        "pulumi",
        ldflags=f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{BUILT}",
        tags="osusergo,grpcnotrace",
        progress=progress,
    )
    _clear(clone, keep={"pulumi", "pulumi-language-python"})
    return Cli(_place(built, clone / ".tools" / "bin" / "pulumi"), BUILT, Source.BUILT)


def _official_plugin(cli: Cli, name: str, progress: Progress, clone: Path) -> bool:
    """Whether the official provider is installed, after trying to."""
    folder = dropins.provider_folder(clone, name)
    if folder.is_dir() and not dropins.is_provider_drop_in(clone, name):
        return True
    if _tried(folder.name):
        return False
    if not reachable(PLUGINS_HOST):
        _remember(folder.name)
        return False
    dropins.remove_provider(clone, name)
    with progress.phase(f"plugin {folder.name}"):
        try:
            run(
                [str(cli.pulumi), "plugin", "install", "resource", name, pinned(clone, f"pulumi-{name}")],
                f"install of the plugin {folder.name}",
                timeout=600,
                env={**os.environ, "PULUMI_HOME": str(home(clone)), "PULUMI_SKIP_UPDATE_CHECK": "true"},
            )
        except ToolError as error:
            progress.line(str(error))
            _remember(folder.name)
            return False
    return True


def _version(pulumi: Path) -> str | None:
    """What `pulumi version` says, without the v; None where it does not run."""
    said = answer([pulumi, "version"], {"PULUMI_SKIP_UPDATE_CHECK": "true"})
    return said.removeprefix("v") or None if said else None


def _place(file: Path, target: Path) -> Path:
    """Put `file` at `target`, and not as a symbolic link: the CLI looks for its plugins beside its own real file."""
    if target.exists() and not target.is_symlink():
        here, there = target.stat(), file.stat()
        if (here.st_size, here.st_mtime_ns) == (there.st_size, there.st_mtime_ns):
            return target
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    try:
        os.link(file, new)
    except OSError:  # the cache is on another file system
        shutil.copy2(file, new)
    new.rename(target)
    return target


def _clear(clone: Path, keep: Set[str] = frozenset()) -> None:
    """Take away what another source put into `.tools/bin`, so that no old CLI or host is found first."""
    for file in (clone / ".tools" / "bin").glob("pulumi*"):
        if file.name not in keep:
            file.unlink()


def _tried(what: str) -> bool:
    """Whether `what` could not be had within the last day."""
    try:
        return time.time() - (cache.root() / f"unreachable-{what}").stat().st_mtime < TRY_AGAIN_SECONDS
    except OSError:
        return False


def _remember(what: str) -> None:
    (cache.root() / f"unreachable-{what}").touch()
