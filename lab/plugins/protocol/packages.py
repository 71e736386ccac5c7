"""Importing single modules out of packages that take long to import."""

import importlib.util
import sys
import types
from pathlib import Path


def skip_package_code(*names: str) -> None:
    """Makes `import NAME.module` work without running the `__init__` of the packages: the first and some of its own."""
    found = importlib.util.find_spec(names[0])
    if found is None or found.origin is None:
        raise SystemExit(f"error: the Python package {names[0]} is missing; run `make` in the clone")
    root = Path(found.origin).parent
    for name in names:
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
