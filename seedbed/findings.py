"""What a check of `seedbed doctor` gives back."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a check came out; only `FAIL` makes `seedbed doctor` exit with 1."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was found and, unless it is ok, what to do about it."""

    status: Status
    title: str
    remedy: str = ""

    def lines(self) -> list[str]:
        """The finding as text; a remedy stands below it, indented."""
        return [f"{self.status:<5} {self.title}", *(f"      {line}" for line in self.remedy.splitlines())]


def ok(title: str) -> Finding:
    """Nothing to do."""
    return Finding(Status.OK, title)


def warn(title: str, remedy: str = "") -> Finding:
    """It will work, and yet."""
    return Finding(Status.WARN, title, remedy)


def fail(title: str, remedy: str) -> Finding:
    """It will not work."""
    return Finding(Status.FAIL, title, remedy)
