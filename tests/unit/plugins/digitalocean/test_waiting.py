import asyncio
from typing import Any

import pytest

from lab.plugins.digitalocean import waiting
from lab.plugins.digitalocean.waiting import StillWaitingError, Waiting


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, which take no time."""
    found: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        found.append(seconds)
        await real(0)

    monkeypatch.setattr(waiting.asyncio, "sleep", sleep)
    return found


async def _log(*_: Any, **__: Any) -> None:
    return


def wait(statuses: list[str | None], seconds: float = 60.0, at_once: int = 1) -> None:
    async def run() -> None:
        together = Waiting()

        async def one() -> None:
            left = list(statuses)

            async def missing() -> str | None:
                return left.pop(0)

            await together.until("droplet a", missing, asyncio.get_running_loop().time() + seconds, _log)

        await asyncio.gather(*(one() for _ in range(at_once)))

    asyncio.run(run())


def test_what_is_ready_is_not_waited_for(slept: list[float]) -> None:
    wait([None])
    assert slept == []


def test_looks_get_rarer(slept: list[float]) -> None:
    wait([*["new"] * 12, None])
    assert slept == sorted(slept)
    assert (slept[0], slept[-1]) == (waiting.SHORTEST_SECONDS, waiting.LONGEST_SECONDS)


def test_many_together_do_not_ask_oftener_than_the_limit_allows(slept: list[float]) -> None:
    wait(["new", None], at_once=50)
    assert min(slept[waiting.FEW :]) * waiting.POLLS_PER_MINUTE / 60.0 > waiting.FEW
    assert slept[-1] == 50 * 60.0 / waiting.POLLS_PER_MINUTE


def test_when_the_time_is_over_it_is_said_what_it_still_is(slept: list[float]) -> None:
    with pytest.raises(StillWaitingError, match="droplet a is still new after 0 s"):
        wait(["new"] * 9, seconds=0.0)
