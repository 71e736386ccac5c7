"""DigitalOcean's API by the official client: one call each, sent again where that does no harm."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.log import Log, Severity
from lab.plugins.protocol.values import Value

from .errors import ApiError, LostError
from .retry import Pace, Trouble, pause
from .settings import Settings

CONNECT_SECONDS = 10
ANSWER_SECONDS = 60
CONNECTIONS = 8
PAGE = 200

Body = dict[str, Any]


@dataclass(frozen=True)
class _Reply:
    """An answer, or why there is none."""

    body: Body
    trouble: Trouble | None
    error: PluginError | None


class Api:
    """The account that a token belongs to. The client is imported when the first call is made."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(max_workers=CONNECTIONS, thread_name_prefix="digitalocean")
        self._pace = Pace(settings.requests_per_second)
        self._loading = asyncio.Lock()
        self._client: Any = None
        self.clock_ahead = 0.0
        """Seconds by which the API's clock is ahead of this machine's, as of the last answer."""

    async def ask(self, group: str, method: str, *arguments: Value, log: Log | None = None, **settings: Value) -> Body:
        """The answer to a call that may be sent twice. Raises ApiError, LostError."""
        return await self._send(group, method, arguments, settings, log, repeatable=True)

    async def once(self, group: str, method: str, *arguments: Value, log: Log | None = None, **settings: Value) -> Body:
        """The answer to a call that may have its effect only once: it is sent again only if it had surely none."""
        return await self._send(group, method, arguments, settings, log, repeatable=False)

    async def find(self, group: str, method: str, key: str, *arguments: Value, **settings: Value) -> list[Body]:
        """All pages of a list, of which `key` is the name."""
        found: list[Body] = []
        page = 1
        while True:
            body = await self.ask(group, method, *arguments, per_page=PAGE, page=page, **settings)
            found += body.get(key) or []
            if not ((body.get("links") or {}).get("pages") or {}).get("next"):
                return found
            page += 1

    async def _send(
        self,
        group: str,
        method: str,
        arguments: tuple[Value, ...],
        settings: dict[str, Value],
        log: Log | None,
        *,
        repeatable: bool,
    ) -> Body:
        await self.connect()
        tried = 0
        while True:
            tried += 1
            await asyncio.sleep(self._pace.wait(time.monotonic()))
            reply = await self._finished(lambda: self._call(group, method, arguments, settings))
            if reply.error is None or reply.trouble is None:
                return reply.body
            again = pause(self._settings.retries, tried, reply.trouble, repeatable=repeatable)
            if again is None:
                raise _with_remedy(reply.error, repeatable=repeatable)
            if log is not None:
                why = f"{reply.error}; asking again in {again:.0f} s"
                await log(Severity.INFO, why, status=True)
            await asyncio.sleep(again)

    async def _finished(self, work: Callable[[], _Reply]) -> _Reply:
        """What the work in a thread returns, even if the user cancels meanwhile: what it created must not get lost.

        The cancellation comes again at the next wait.
        """
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            reply = await future
            task = asyncio.current_task()
            if task is not None:
                task.cancel()
            return reply

    async def connect(self) -> None:
        """Loads the client, which takes a second; a later call does nothing. Raises PluginError without a token."""
        if not self._settings.token:
            raise PluginError(
                "there is no token for DigitalOcean's API: set DIGITALOCEAN_TOKEN, or digitalocean:token as a secret"
            )
        async with self._loading:
            if self._client is None:
                load = asyncio.get_running_loop().run_in_executor(self._threads, _client, self._settings)
                self._client = await load

    def _call(self, group: str, method: str, arguments: tuple[Value, ...], settings: dict[str, Value]) -> _Reply:
        from azure.core.exceptions import AzureError, HttpResponseError

        try:
            response, body = getattr(getattr(self._client, group), method)(*arguments, cls=_both, **settings)
        except HttpResponseError as error:
            if error.response is None:
                return _lost(error)
            response, body = error.response, _json(error.response)
        except AzureError as error:
            return _lost(error)
        self._note_clock(response.headers.get("date", ""))
        if response.status_code < HTTPStatus.BAD_REQUEST:
            return _Reply(body or {}, None, None)
        return _refused(response, body or {})

    def _note_clock(self, date: str) -> None:
        try:
            self.clock_ahead = parsedate_to_datetime(date).timestamp() - time.time()
        except (TypeError, ValueError):
            return


def _client(settings: Settings) -> Value:
    """The client, without the retries of its own, which repeat what must not be, and for plain HTTP too."""
    import pydo
    from azure.core.credentials import AzureKeyCredential
    from azure.core.pipeline.policies import AzureKeyCredentialPolicy, RetryPolicy
    from azure.core.pipeline.transport import RequestsTransport

    return pydo.Client(
        settings.token,
        endpoint=settings.api_url,
        authentication_policy=AzureKeyCredentialPolicy(
            AzureKeyCredential(settings.token), "Authorization", prefix="Bearer"
        ),
        retry_policy=RetryPolicy.no_retries(),
        transport=RequestsTransport(
            connection_timeout=CONNECT_SECONDS, read_timeout=ANSWER_SECONDS, use_env_settings=not settings.is_local
        ),
    )


def _both(pipeline_response: Value, body: Value, headers: Value) -> tuple[Value, Value]:  # noqa: ARG001
    return pipeline_response.http_response, body


def _json(response: Value) -> Body:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _refused(response: Value, body: Body) -> _Reply:
    headers = response.headers
    reset = None
    if headers.get("ratelimit-remaining") == "0":
        reset = _number(headers.get("ratelimit-reset"))
        reset = None if reset is None else max(reset - time.time(), 0.0)
    trouble = Trouble(response.status_code, retry_after=_number(headers.get("retry-after")), reset=reset)
    request = str(body.get("request_id") or headers.get("x-request-id") or "")
    error = ApiError(
        response.status_code,
        str(body.get("id", "")),
        str(body.get("message", "")),
        request,
        trouble.retry_after if trouble.retry_after is not None else reset,
    )
    return _Reply(body, trouble, error)


def _with_remedy(error: PluginError, *, repeatable: bool) -> PluginError:
    """What to do where an answer was lost that may be lost: of others, who asked says what became of them."""
    if isinstance(error, LostError) and (repeatable or not error.is_uncertain):
        return LostError(f"{error}. Run it again", is_uncertain=error.is_uncertain)
    return error


def _lost(error: Exception) -> _Reply:
    from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError, SSLError

    causes = list(_causes(error))
    sent = not any(
        isinstance(cause, NewConnectionError | ConnectTimeoutError | NameResolutionError | SSLError) for cause in causes
    )
    why = next(
        (cause.strerror.lower() for cause in reversed(causes) if isinstance(cause, OSError) and cause.strerror), None
    )
    if why is None:
        timed_out = any("timed out" in str(cause) for cause in causes)
        why = f"no answer within {ANSWER_SECONDS} s" if timed_out else "the connection was closed before the answer"
    message = f"the API cannot be reached: {why}" if not sent else f"the answer of the API was lost: {why}"
    return _Reply({}, Trouble(None, sent=sent), LostError(message, is_uncertain=sent))


def _causes(error: BaseException) -> list[BaseException]:
    """The error, and all that it was raised from or holds, the innermost last."""
    found: list[BaseException] = []
    todo: list[BaseException] = [error]
    while todo:
        one = todo.pop(0)
        if one in found:
            continue
        found.append(one)
        named = (getattr(one, name, None) for name in ("inner_exception", "reason"))
        inner = (one.__cause__, one.__context__, *named, *one.args)
        todo += [item for item in inner if isinstance(item, BaseException)]
    return found


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
