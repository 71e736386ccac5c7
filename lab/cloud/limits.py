"""How many requests a token may make.

5,000 an hour, and 250 a minute, which is 5 % of an hour's; a burst's 429 says `Retry-After`. Every answer has
`ratelimit-limit`, `ratelimit-remaining` (of the hour) and `ratelimit-reset` (when the oldest request expires, in seconds
since 1970). Sources: DigitalOcean's API reference, "Rate Limit";
https://docs.digitalocean.com/notes/changelog/add-burst-rate-limits;
https://docs.digitalocean.com/notes/2023/api-rate-limit.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from lab.cloud.api import ApiError

_HOUR, _MINUTE = 3600.0, 60.0


@dataclass(frozen=True)
class Limits:
    """Requests of one token."""

    hour: int = 5000
    minute: int = 250


class Meter:
    """Counts them. Safe to share by threads."""

    def __init__(self, limits: Limits = Limits(), clock: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds since 1970."""
        self._limits, self._clock = limits, clock
        self._lock = threading.Lock()
        self._seen: dict[str, deque[float]] = {}

    def count(self, token: str) -> dict[str, str]:
        """Take note of a request; the headers of its answer. Raises a 429 in place of one too many, not counted."""
        with self._lock:
            now = self._clock()
            seen = self._seen.setdefault(token, deque())
            while seen and seen[0] <= now - _HOUR:
                seen.popleft()
            wait = 0.0
            if len(seen) >= self._limits.hour:
                wait = seen[0] + _HOUR - now
            elif len(seen) >= self._limits.minute:
                wait = max(0.0, seen[-self._limits.minute] + _MINUTE - now)
            if wait:
                headers = self._headers(seen, now) | {"Retry-After": str(math.ceil(wait))}
                raise ApiError(429, "too_many_requests", "API Rate limit exceeded.", headers)
            seen.append(now)
            return self._headers(seen, now)

    def _headers(self, seen: deque[float], now: float) -> dict[str, str]:
        reset = (seen[0] if seen else now) + _HOUR
        return {
            "ratelimit-limit": str(self._limits.hour),
            "ratelimit-remaining": str(max(0, self._limits.hour - len(seen))),
            "ratelimit-reset": str(int(reset)),
        }
