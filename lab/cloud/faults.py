"""What the cloud is told to do wrong: a request's answer that is late, bad or missing, or a droplet that never comes.

Faults are told to a running cloud by `POST /lab/faults`; each hits the next requests that fit it, as often as it says.
"""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lab.cloud.api import unprocessable


class Kind(StrEnum):
    """What happens."""

    STATUS = "status"
    """The answer is this error, and nothing is done."""
    SLOW = "slow"
    """It is done after a while."""
    RESET = "reset"
    """The connection is reset, and nothing is done."""
    LOST_ANSWER = "lost-answer"
    """It is done, and the connection is reset in place of the answer."""
    NEVER_ACTIVE = "never-active"
    """The droplets that are made stay `new`."""
    CAPACITY = "capacity"
    """No droplet is made, as the size is sold out in the region."""


@dataclass
class Fault:
    """One of them.

    Args:
        method: of the requests that it hits; empty: every method.
        path: an expression that the path fits, searched in it.
        kind: what happens to them.
        status: of the answer, with `status`.
        seconds: how late, with `slow`; of `Retry-After`, with `status` 429.
        times: how many requests are still to be hit; None: all, until the faults are cleared.
    """

    method: str
    path: re.Pattern[str]
    kind: Kind
    status: int
    seconds: float
    times: int | None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> "Fault":
        """Of the body of `POST /lab/faults`. Raises a 422."""
        try:
            kind = Kind(body["kind"])
            path = re.compile(body.get("path", ""))
            status = int(body.get("status", 500))
            seconds = float(body.get("seconds", 1))
            times = body.get("times", 1)
            return cls(
                str(body.get("method") or ""), path, kind, status, seconds, None if times is None else int(times)
            )
        except (KeyError, TypeError, ValueError, re.error) as error:
            kinds = ", ".join(Kind)
            raise unprocessable(
                f"no fault: {error}; kind is one of {kinds}, path an expression, the rest numbers"
            ) from error

    def shown(self) -> dict[str, Any]:
        """As it can be given again."""
        return {
            "method": self.method,
            "path": self.path.pattern,
            "kind": self.kind,
            "status": self.status,
            "seconds": self.seconds,
            "times": self.times,
        }


class Faults:
    """Those that wait for a request. Safe to share by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """From the next request on."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """None waits any more."""
        with self._lock:
            self._faults.clear()

    def all(self) -> list[Fault]:
        """Those that wait, oldest first."""
        with self._lock:
            return list(self._faults)

    def take(self, method: str, path: str) -> Fault | None:
        """The oldest that hits this request, which counts."""
        with self._lock:
            for fault in self._faults:
                if fault.method in ("", method) and fault.path.search(path):
                    if fault.times is not None:
                        fault.times -= 1
                        if fault.times <= 0:
                            self._faults.remove(fault)
                    return fault
        return None
