"""The kinds of things of the cloud's API: a module each, found by being here (`lab.cloud.core` says what one is)."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from lab.cloud.core import Cloud, Route


@dataclass(frozen=True)
class Resources:
    """What all modules together give."""

    routes: tuple[Route, ...]
    resumers: tuple[Callable[[Cloud], None], ...]
    reconcilers: tuple[Callable[[Cloud], None], ...]


def load() -> Resources:
    """Import them all, in the order of their names."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return Resources(
        tuple(route for module in modules for route in getattr(module, "ROUTES", ())),
        tuple(module.resume for module in modules if hasattr(module, "resume")),
        tuple(module.reconcile for module in modules if hasattr(module, "reconcile")),
    )
