"""What every test on the real engine stands on."""

from pathlib import Path

import pytest

from tests.engine.harness import Engine
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
