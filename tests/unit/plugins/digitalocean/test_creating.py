import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.plugins.digitalocean import creating
from lab.plugins.digitalocean.errors import ApiError, LostError
from lab.plugins.digitalocean.retry import Retries
from lab.plugins.digitalocean.work import Work
from lab.plugins.protocol import PluginError

LOST = LostError("the answer of the API was lost", is_uncertain=True)
UNSENT = LostError("the API cannot be reached", is_uncertain=False)
FAULT = ApiError(500, "server_error", "Unexpected server-side error")
TAKEN = ApiError(422, "unprocessable_entity", "name is already in use")
MADE = {"thing": {"id": 1}}


def work() -> Work:
    async def log(*_: Any, **__: Any) -> None:
        return

    api = cast(Any, SimpleNamespace(clock_ahead=0.0))
    return Work(api, cast(Any, None), cast(Any, None), Retries(most=2, wait_min=0.0), "thing a", 0.0, log)


def answers(*outcomes: Any) -> tuple[Callable[[], Awaitable[Any]], list[Any]]:
    """A function that gives or raises one after another, the last one again and again; and what it did."""
    given: list[Any] = []

    async def ask() -> Any:
        outcome = outcomes[min(len(given), len(outcomes) - 1)]
        given.append(outcome)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return ask, given


def make(sends: tuple[Any, ...], finds: tuple[Any, ...], *, unique: bool) -> tuple[Any, int]:
    """What is made, and how often it was asked for."""
    send, sent = answers(*sends)
    search, _ = answers(*finds)
    made = asyncio.run(creating.make(work(), send, search, unique=unique, accept="thing"))
    return made, len(sent)


def test_an_answer_is_taken_as_it_is() -> None:
    assert make((MADE,), ([],), unique=False) == ({"id": 1}, 1)


@pytest.mark.parametrize("unique", [True, False])
@pytest.mark.parametrize("failure", [LOST, FAULT])
def test_what_is_found_after_a_failure_is_adopted_without_asking_again(failure: Exception, unique: bool) -> None:
    assert make((failure,), ([], [], [{"id": 2}]), unique=unique) == ({"id": 2}, 1)


@pytest.mark.parametrize(("failure", "unique"), [(LOST, True), (FAULT, True), (FAULT, False)])
def test_what_is_not_there_is_asked_for_again_where_a_second_one_cannot_be(failure: Exception, unique: bool) -> None:
    assert make((failure, MADE), ([],), unique=unique) == ({"id": 1}, 2)


def test_what_is_not_to_be_seen_and_could_be_there_twice_is_left_to_the_user() -> None:
    with pytest.raises(PluginError, match=r"does not show thing a.*pulumi import"):
        make((LOST, MADE), ([],), unique=False)


def test_what_cannot_be_told_apart_is_left_to_the_user() -> None:
    with pytest.raises(PluginError, match="has 2 that may be thing a"):
        make((LOST,), ([{"id": 1}, {"id": 2}],), unique=True)


def test_what_was_not_sent_or_is_refused_is_an_error_at_once() -> None:
    for failure in (UNSENT, TAKEN):
        with pytest.raises(type(failure)):
            make((failure,), ([{"id": 1}],), unique=True)


def test_a_second_try_that_is_refused_for_what_the_first_one_made_finds_it() -> None:
    """The list lagged behind when the first answer was lost."""
    lagging = [[]] * len(creating.LOOKS)
    assert make((LOST, TAKEN), (*lagging, [{"id": 3}]), unique=True) == ({"id": 3}, 2)


def test_it_is_not_tried_for_ever() -> None:
    with pytest.raises(PluginError, match="does not show"):
        make((FAULT,), ([],), unique=True)


@pytest.mark.parametrize(("created_at", "ours"), [("2026-11-21T10:00:00Z", True), ("2026-11-21T09:59:57Z", False)])
def test_only_what_is_not_older_than_the_request_by_the_apis_clock_is_ours(created_at: str, ours: bool) -> None:
    at_work = work()
    at_work.api.clock_ahead = 3600.0
    began = datetime(2026, 11, 21, 9, 0, 0, 500_000, tzinfo=UTC).timestamp()  # 10:00:00.5 by the API's clock
    assert creating.since(at_work, began, created_at) is ours
