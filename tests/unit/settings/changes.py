"""Settings that are good but for what a test changes."""

import copy
from collections.abc import Mapping
from typing import Any


def changed_in(good: Mapping[str, Any], paths: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `good` with `a__b=value` set, or removed where the value is `...`; underscores in names are hyphens."""
    config = copy.deepcopy(dict(good))
    for path, value in paths.items():
        *parents, last = [part.replace("_", "-") for part in path.split("__")]
        at = config
        for parent in parents:
            at = at.setdefault(parent, {})
        if value is ...:
            del at[last]
        else:
            at[last] = value
    return config
