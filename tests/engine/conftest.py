"""What every test on the real engine stands on."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cloud import spaces as lab_spaces
from lab.cloud.spaces import Spaces
from tests.engine.conformance.harness import Stack, new_stack
from tests.engine.conformance.key_service import key_service
from tests.engine.harness import Engine
from tests.engine.reviewed import Deployed, Reviewed, deployed
from tools import toolchain as tools_toolchain
from tools.progress import Progress
from tools.toolchain import Toolchain


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker("engine")


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    """The CLI and its plugins; without them the tests fail, and say why: a skipped tier proves nothing."""
    return tools_toolchain.ensure(Progress())


@pytest.fixture
def engine(tmp_path: Path, toolchain: Toolchain) -> Engine:
    """A project of its own for one test."""
    return Engine(tmp_path, toolchain)


@pytest.fixture(scope="session")
def empty_stack(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An initialised stack for programs that run in the tests' process; every test copies it."""
    # The SDK's modules are all there by now, and live as long as the tests do: what is thrown away after each
    # program is found without a look at them.
    gc.collect()
    gc.freeze()
    with key_service() as keys:
        yield new_stack(toolchain.pulumi, toolchain.home, tmp_path_factory.mktemp("empty") / "stack", keys)


@pytest.fixture(scope="session")
def spaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spaces]:
    """The object storage of the lab's cloud, on this machine itself."""
    folder = tmp_path_factory.mktemp("spaces")
    try:
        yield lab_spaces.ensure(folder, "engine", None, "127.0.0.1", tools_toolchain.versitygw(Progress()))
    finally:
        lab_spaces.stop(folder)


@pytest.fixture(scope="session")
def prod(toolchain: Toolchain, spaces: Spaces, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The prod stack after its first `up`, on a cloud whose machines only answer; no test changes it."""
    with deployed(tmp_path_factory.mktemp("prod"), toolchain, spaces) as made:
        yield made


@pytest.fixture
def reviewed(prod: Deployed, tmp_path: Path) -> Reviewed:
    """A copy of the project and of that stack, for one test."""
    return prod.copy(tmp_path / "prod")
