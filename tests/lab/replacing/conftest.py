"""The clusters in which machines are replaced: each file of tests has one of its own, of the machines that it asks for."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.lab.replacements import Cluster

Machines = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def cluster_of() -> Iterator[Callable[..., Cluster]]:
    """`cluster_of(servers=1, agents=2)`: a cluster of `server-a`, … and `agent-a`, … that an `up` has completed.

    Nothing is planted in it. `change` gets the stack's settings before that. It lives until the file's tests are done.
    """
    with ExitStack() as until_done:

        def make(servers: int, agents: int, change: Callable[[dict[str, Any]], None] | None = None) -> Cluster:
            def settings(config: dict[str, Any]) -> None:
                net = config["seedbed:network"]["machines"].rpartition(".")[0]
                config["seedbed:machines"] = {
                    f"{role}-{'abcdefgh'[i]}": {"role": role, "address": f"{net}.{first + i}"}
                    for role, count, first in (("server", servers, 11), ("agent", agents, 21))
                    for i in range(count)
                }
                if change is not None:
                    change(config)

            cluster = until_done.enter_context(Cluster.made(settings))
            cluster.completes()
            return cluster

        yield make
