"""The path patterns of `assetPaths` and `archivePaths`: github.com/gobwas/glob with `/` as the separator."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from lab.plugins.protocol import PluginError


def matching(directory: Path, patterns: Sequence[str]) -> list[str]:
    """The files below `directory` that the patterns select, as sorted relative paths.

    The patterns are applied in their order; one that begins with `!` takes files out again
    (local/commandOutputs.go).
    """
    rules = [(not pattern.startswith("!"), translate(pattern.removeprefix("!"))) for pattern in patterns]
    selected = []
    for parent, _, names in os.walk(directory):
        for name in names:
            path = (Path(parent) / name).relative_to(directory).as_posix()
            decisions = [included for included, rule in rules if rule.fullmatch(path)]
            if decisions and decisions[-1]:
                selected.append(path)
    return sorted(selected)


def translate(pattern: str) -> re.Pattern[str]:
    """A pattern as a regular expression: `*`, `**`, `?`, `[a-z]`, `[!a-z]`, `{one,two}` and `\\` before any of them."""
    result = []
    depth = 0
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            if pattern[position : position + 1] == "*":
                position += 1
                result.append(".*")
            else:
                result.append("[^/]*")
        elif character == "?":
            result.append("[^/]")
        elif character == "\\" and position < len(pattern):
            result.append(re.escape(pattern[position]))
            position += 1
        elif character == "[":
            end = pattern.find("]", position + 1)
            if end < 0:
                raise PluginError(f"pattern {pattern!r}: '[' without ']'")
            inside = pattern[position:end].replace("\\", "\\\\")
            result.append(f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]")
            position = end + 1
        elif character == "{":
            depth += 1
            result.append("(?:")
        elif character == "}" and depth:
            depth -= 1
            result.append(")")
        elif character == "," and depth:
            result.append("|")
        else:
            result.append(re.escape(character))
    if depth:
        raise PluginError(f"pattern {pattern!r}: '{{' without '}}'")
    try:
        return re.compile("".join(result), re.DOTALL)
    except re.error as error:
        raise PluginError(f"pattern {pattern!r}: {error}") from None
