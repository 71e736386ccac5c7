"""The engine's log, as operations see it."""

from collections.abc import Awaitable
from enum import StrEnum
from typing import Protocol


class Severity(StrEnum):
    """The severities of the engine's log."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class Log(Protocol):
    """Where messages about one resource go. A status message is shown while the resource is worked on only."""

    def __call__(self, severity: Severity, message: str, *, status: bool = False) -> Awaitable[None]: ...
