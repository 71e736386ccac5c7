"""Work that depends on other work, done by threads: each job as soon as what it needs is done."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from seedbed import children

POLL_SECONDS = 0.5
"""How long the waiting thread sleeps at most, so that ^C is heard while jobs run."""


@dataclass(frozen=True)
class Job:
    """One piece of work. `run` gets the results of all jobs that are done, by name, those of `needs` among them."""

    name: str
    run: Callable[[dict[str, Any]], Any]
    needs: tuple[str, ...] = ()


@dataclass
class _State:
    results: dict[str, Any] = field(default_factory=dict)
    running: dict[Future[Any], str] = field(default_factory=dict)
    failure: BaseException | None = None


def run(jobs: Sequence[Job]) -> dict[str, Any]:
    """Does all of them and gives back their results by name.

    The first failure is raised once the jobs that were running have ended; none is started after it. A job's work is
    cached by whoever does it, so the next run goes on from there. ^C ends the builds that jobs have started.
    """
    _check(jobs)
    waiting = list(jobs)
    state = _State()
    children.mark()
    with ThreadPoolExecutor(max_workers=len(jobs) or 1, thread_name_prefix="job") as pool:
        try:
            _follow(pool, waiting, state)
        except BaseException:  # ^C
            pool.shutdown(wait=False, cancel_futures=True)
            children.end()
            raise
    if state.failure is not None:
        raise state.failure
    return state.results


def _follow(pool: ThreadPoolExecutor, waiting: list[Job], state: _State) -> None:
    while waiting or state.running:
        if state.failure is None:
            _start_ready(pool, waiting, state)
        if not state.running:
            break
        done, _ = wait(state.running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
        for future in done:
            name = state.running.pop(future)
            error = future.exception()
            if error is None:
                state.results[name] = future.result()
            elif state.failure is None:
                state.failure = error


def _start_ready(pool: ThreadPoolExecutor, waiting: list[Job], state: _State) -> None:
    for job in [job for job in waiting if all(need in state.results for need in job.needs)]:
        waiting.remove(job)
        state.running[pool.submit(job.run, dict(state.results))] = job.name


def _check(jobs: Sequence[Job]) -> None:
    """A need that no earlier job fulfils is a mistake of the author; the order of the list rules out circles."""
    known: set[str] = set()
    for job in jobs:
        unknown = set(job.needs) - known
        if unknown:
            raise ValueError(f"job {job.name!r} needs {', '.join(sorted(unknown))}, which no job before it is called")
        known.add(job.name)
