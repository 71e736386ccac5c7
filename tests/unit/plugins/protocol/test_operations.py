"""Timeouts and cancellation."""

import asyncio

import pytest

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.operations import Operations


async def answer() -> int:
    return 42


async def never(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(0)
        ended.append("cleaned up")
        raise


def test_an_operation_without_a_timeout_returns_what_it_returns() -> None:
    assert asyncio.run(Operations().run("create", 0, answer())) == 42


def test_a_timeout_names_the_operation_and_waits_for_its_cleaning_up() -> None:
    ended: list[str] = []
    with pytest.raises(PluginError, match=r"update timed out after 0\.05s"):
        asyncio.run(Operations().run("update", 0.05, never(ended)))
    assert ended == ["cleaned up"]


def test_a_timeout_says_what_the_time_was_spent_on_where_the_work_knows() -> None:
    async def dialling() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise asyncio.CancelledError("after 3 failed attempts: no route to host") from None

    with pytest.raises(PluginError, match=r"0\.05s \(customTimeouts\): after 3 failed attempts: no route to host$"):
        asyncio.run(Operations().run("create", 0.05, dialling()))


def test_a_timeout_inside_the_work_is_not_taken_for_its_own() -> None:
    async def broken() -> None:
        raise TimeoutError("inner")

    with pytest.raises(TimeoutError, match="inner"):
        asyncio.run(Operations().run("create", 10, broken()))


def test_cancelling_ends_what_runs_and_what_is_begun_later() -> None:
    ended: list[str] = []

    async def run() -> list[BaseException | None]:
        operations = Operations()
        running = [asyncio.create_task(operations.run("create", 0, never(ended))) for _ in range(2)]
        await asyncio.sleep(0.01)
        operations.cancel()
        running.append(asyncio.create_task(operations.run("delete", 0, never(ended))))
        return await asyncio.gather(*running, return_exceptions=True)

    results = asyncio.run(run())
    assert [str(result) for result in results] == [
        "create was cancelled",
        "create was cancelled",
        "delete was cancelled",
    ]
    assert all(isinstance(result, PluginError) for result in results)
    assert ended == ["cleaned up"] * 2


def test_a_call_that_the_engine_gives_up_is_cancelled_as_such() -> None:
    async def run() -> None:
        task = asyncio.create_task(Operations().run("create", 0, never([])))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
