"""The two clusters of these tests, brought up at the same time."""

import shlex
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from stacks.config import ROOT
from stacks.identity import generate
from tests.lab.conftest import new_spec
from tests.lab.secret_search import ProcessWatch
from tests.lab.seeding import PIECES, SERVER, Seeded, await_whole, keep, put_tree, sealing_pair
from tests.lab.stacks import Stack

MONTH_AND_MORE = 40
"""Days: sealed-secrets of itself makes a new key after 30."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The comparison of the two clusters comes first: until it is done there are two, and ArgoCD never rests."""
    here = Path(__file__).parent
    places = [place for place, item in enumerate(items) if here in item.path.parents]
    own = sorted((items[place] for place in places), key=lambda item: item.path.name != "test_by_hand.py")
    for place, item in zip(places, own, strict=True):
        items[place] = item


@pytest.fixture(scope="package")
def planting() -> Iterator[tuple[Future[Seeded], Future[Stack]]]:
    """Both begin here, and whoever asks for one waits for it."""
    first = new_spec().subnet
    while (second := new_spec().subnet) == first:
        pass
    stacks = [Stack.make(first, seed=True), Stack.make(second, one_server)]
    try:
        with ThreadPoolExecutor(max_workers=2) as pool:
            yield pool.submit(by_pulumi, stacks[0]), pool.submit(by_two_lines, stacks[1])
    finally:
        for stack in stacks:
            stack.remove()


@pytest.fixture(scope="package")
def seeded(planting: tuple[Future[Seeded], Future[Stack]]) -> Seeded:
    """The committed tree's stack, with a sealing key that was made long ago."""
    return planting[0].result()


@pytest.fixture(scope="package")
def stack(seeded: Seeded) -> Stack:
    return seeded.stack


@pytest.fixture(scope="module")
def by_hand(planting: tuple[Future[Seeded], Future[Stack]]) -> Iterator[Stack]:
    """A cluster of one server with the tree on it, and the docs' two lines run. It makes room for what comes then."""
    stack = planting[1].result()
    yield stack
    stack.remove()


def one_server(config: dict[str, Any]) -> None:
    config["seedbed:machines"].pop("agent-a")


def by_pulumi(stack: Stack) -> Seeded:
    identity = generate()
    key = serialization.load_pem_private_key(identity.sealing_keys[0].key.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    keep(stack, identity.model_copy(update={"sealing_keys": (sealing_pair(MONTH_AND_MORE, key),)}))
    with ProcessWatch() as watch:
        done = stack.up()
    state = stack.pulumi("stack", "export").stdout
    await_whole(stack)
    return Seeded(stack, done.stdout + done.stderr, watch.text, state)


def by_two_lines(stack: Stack) -> Stack:
    stack.up()
    put_tree(stack)
    for line in documented_lines():
        stack.lab.ssh(SERVER, f"cd /root && k3s {line}", timeout=180)
    return stack


def documented_lines() -> list[str]:
    """What the docs say to type."""
    text = (ROOT / "docs" / "how-to" / "seed-by-hand.md").read_text()
    found = [line for line in text.splitlines() if line.startswith("kubectl apply ")]
    assert [shlex.split(line)[-1] for line in found] == [f"k8s/base/{piece}" for piece in PIECES]
    return found
