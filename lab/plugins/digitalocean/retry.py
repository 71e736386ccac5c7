"""Whether a request that failed is sent again, and when; and how many may be sent at all.

Source: go-retryablehttp `DefaultRetryPolicy`, `DefaultBackoff`, which godo's `WithRetryAndBackoffs` uses; the API
reference on rate limits: 5,000 requests an hour, 250 a minute, `Retry-After` with the answer 429.
"""

from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus

LONGEST_PAUSE = 300.0
"""Seconds that a request is kept waiting for the limit's end; a longer wait is the user's to decide on."""

REQUESTS_PER_MINUTE = 240
"""Of the 250 that the API allows, so that a person with a browser has some too."""


@dataclass(frozen=True)
class Retries:
    """How often a request is sent again, and the shortest and longest pause before it, in seconds."""

    most: int = 4
    wait_min: float = 1.0
    wait_max: float = 30.0


@dataclass(frozen=True)
class Trouble:
    """Why a request failed: with a status, or without an answer.

    Args:
        status: of the answer, None where there was none.
        sent: whether it may have reached the API.
        retry_after: seconds, as the answer says.
        reset: seconds until the limit by the hour has room, where nothing of it is left.
    """

    status: int | None = None
    sent: bool = True
    retry_after: float | None = None
    reset: float | None = None

    @property
    def is_uncertain(self) -> bool:
        """Whether the request may have had its effect all the same."""
        if self.status is None:
            return self.sent
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR


def pause(retries: Retries, tried: int, trouble: Trouble, *, repeatable: bool) -> float | None:
    """Seconds to wait before the request is sent for the `tried + 1`st time; None where it is not.

    `repeatable` says that to send it twice does no harm.
    """
    if tried > retries.most:
        return None
    backoff = min(retries.wait_min * 2.0 ** (tried - 1), retries.wait_max)
    if trouble.status == HTTPStatus.TOO_MANY_REQUESTS:
        asked = trouble.retry_after if trouble.retry_after is not None else trouble.reset
        wait = backoff if asked is None else max(asked, 0.0)
        return wait if wait <= LONGEST_PAUSE else None
    if trouble.status is not None and not trouble.is_uncertain:
        return None
    if trouble.status == HTTPStatus.NOT_IMPLEMENTED:
        return None
    if trouble.is_uncertain and not repeatable:
        return None
    return trouble.retry_after if trouble.retry_after is not None else backoff


@dataclass
class Pace:
    """Keeps requests below a number in a time; `per_second` of 0 leaves only the limit by the minute."""

    per_second: float = 0.0
    per_minute: int = REQUESTS_PER_MINUTE
    _sent: deque[float] = field(default_factory=deque)

    def wait(self, now: float) -> float:
        """Seconds until a request may be sent, which is then taken as sent."""
        while self._sent and self._sent[0] <= now - 60.0:
            self._sent.popleft()
        at = now
        if len(self._sent) >= self.per_minute:
            at = max(at, self._sent[-self.per_minute] + 60.0)
        if self.per_second > 0 and self._sent:
            at = max(at, self._sent[-1] + 1.0 / self.per_second)
        self._sent.append(at)
        return at - now
