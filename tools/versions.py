"""Which Pulumi CLI the project accepts, and which it gets where there is none: the versions are named here."""

import re
from pathlib import Path

from tools import ToolError

RELEASE = "3.272.0"
"""The official release that is downloaded: the one of the pinned SDK."""

BUILT = "3.232.0"
"""The newest CLI that is served as a Go module (3.233.0 and later are not); see tools/pulumi/go.mod."""


def required(clone: Path) -> str:
    """The range in `requiredPulumiVersion` of the clone's Pulumi.yaml, which the CLI itself checks as well."""
    found = re.search(
        r"""^requiredPulumiVersion:\s*["']?([^"'\n]+)""", (clone / "Pulumi.yaml").read_text(), re.MULTILINE
    )
    if found is None:
        raise ToolError(f"{clone / 'Pulumi.yaml'} has no requiredPulumiVersion: it says which CLI is supported")
    return found[1].strip()


def satisfies(version: str, wanted: str) -> bool:
    """Whether `version` ("3.232.0", a leading v or a pre-release part is ignored) is in the range `wanted`.

    A range is what the CLI takes (github.com/blang/semver): conditions such as ">=3.232.0", all of which must hold,
    and "||" between alternatives.
    """
    return any(
        all(_holds(_numbers(version), condition) for condition in alternative.split())
        for alternative in wanted.split("||")
    )


def pinned(clone: Path, package: str) -> str:
    """The version that requirements/program.in pins `package` to."""
    file = clone / "requirements" / "program.in"
    found = re.search(rf"^{re.escape(package)}==(\S+)", file.read_text(), re.MULTILINE)
    if found is None:
        raise ToolError(f"{file} pins no version of {package}")
    return found[1]


def _holds(version: tuple[int, ...], condition: str) -> bool:
    match = re.fullmatch(r"(>=|<=|>|<|!=?|==?|)v?(\d+(?:\.\d+)*)", condition)
    if match is None:
        raise ToolError(f"cannot read {condition!r} in a version range")
    operator, other = match[1], _numbers(match[2])
    if operator.startswith("!"):
        return version != other
    return (
        (">" in operator and version > other)
        or ("<" in operator and version < other)
        or ((not operator or "=" in operator) and version == other)
    )


def _numbers(version: str) -> tuple[int, int, int]:
    parts = [int(part) for part in re.findall(r"\d+", re.split(r"[-+]", version)[0])]
    major, minor, patch, *_ = [*parts, 0, 0, 0]
    return major, minor, patch
