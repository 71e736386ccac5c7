"""What the API says when it refuses, with what to do about it."""

import re
from datetime import UTC, datetime
from http import HTTPStatus

from lab.plugins.protocol import PluginError

_TAKEN = re.compile(r"already|exists|in use|duplicate|unique|taken", re.IGNORECASE)
_CAPACITY = re.compile(
    r"capacity|not available in|unavailable in|currently unavailable|exceed|limit|maximum number", re.IGNORECASE
)


class ApiError(PluginError):
    """The API answered with an error.

    Args:
        status: of the answer.
        code: the API's word for it, as `not_found`.
        message: the API's sentence.
        request: the API's number of the request.
        reset: seconds until the limit by the hour has room, where that is known.
    """

    def __init__(self, status: int, code: str, message: str, request: str = "", reset: float | None = None) -> None:
        named = " ".join(part for part in (str(status), code) if part)
        number = f", request {request}" if request else ""
        remedy = _remedy(status, message, reset)
        super().__init__(f"{message or 'no reason given'} ({named}{number}){'. ' + remedy if remedy else ''}")
        self.status = status
        self.message = message

    @property
    def is_uncertain(self) -> bool:
        """Whether the request may have had its effect all the same."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

    def says(self, *texts: str) -> bool:
        """Whether one of the texts is in the message, in whatever case."""
        return any(text.lower() in self.message.lower() for text in texts)


class LostError(PluginError):
    """There is no answer; `is_uncertain` says that the request may have had its effect."""

    def __init__(self, message: str, *, is_uncertain: bool) -> None:
        super().__init__(message)
        self.is_uncertain = is_uncertain


def _remedy(status: int, message: str, reset: float | None) -> str:
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return "The API does not know this token: set DIGITALOCEAN_TOKEN to one that is valid"
        case HTTPStatus.FORBIDDEN:
            return (
                "If it is a matter of rights, make a token whose scopes allow this and set DIGITALOCEAN_TOKEN;"
                " `seedbed doctor` says what is missing"
            )
        case HTTPStatus.NOT_FOUND:
            return "It is not in this account, or not any more: if the state has it, run `pulumi up --refresh`"
        case HTTPStatus.TOO_MANY_REQUESTS:
            if reset is None:
                return "The account's limit of requests is used up: run it again in a few minutes"
            moment = datetime.fromtimestamp(datetime.now(UTC).timestamp() + reset, UTC)
            return f"The account's limit of requests is used up until {moment:%H:%M} UTC: run it again then"
        case HTTPStatus.CONFLICT if _TAKEN.search(message):
            return "If it is yours, import it with `pulumi import`, or delete it, or choose another name"
    if status < HTTPStatus.INTERNAL_SERVER_ERROR and _CAPACITY.search(message):
        return "Choose another size or region, or have the account's limit raised, and run it again"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "The cloud has a fault; see its status page and run it again"
    return ""
