"""The engine, the `command` plugin that is installed, and sshd servers for its remote commands."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conformance.harness import Server, Stack, copied_stack, new_stack, sshd
from tools.debian import ensure_packages
from tools.progress import Progress
from tools.toolchain import Toolchain

SYSTEMD = Path("/run/systemd/system")


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker of this folder."""
    config.addinivalue_line("markers", "official_breaks(why): a documented rule that the official 1.2.1 breaks")


@pytest.fixture(scope="session")
def official(toolchain: Toolchain) -> bool:
    """Whether the installed `command` plugin is the official one."""
    return "resource-command" not in toolchain.drop_ins


@pytest.fixture(autouse=True)
def known_deviation(request: pytest.FixtureRequest, official: bool) -> None:
    """Marks the rules that the official 1.2.1 breaks as expected failures when it is the one under test."""
    marker = request.node.get_closest_marker("official_breaks")
    if marker is not None and official:
        request.applymarker(pytest.mark.xfail(reason=marker.args[0], strict=False))


@pytest.fixture(scope="session")
def empty_stack(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """An initialised stack that every test copies."""
    return new_stack(toolchain.pulumi, toolchain.home, tmp_path_factory.mktemp("empty") / "stack")


@pytest.fixture
def stack(empty_stack: Stack, tmp_path: Path) -> Stack:
    """A stack of the test's own."""
    return copied_stack(empty_stack, tmp_path / "stack")


@pytest.fixture(scope="module")
def shared_stack(empty_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """A stack for the rules of one file that only look at what one `up` left."""
    return copied_stack(empty_stack, tmp_path_factory.mktemp("shared") / "stack")


@pytest.fixture(scope="session")
def sshd_package() -> None:
    """Debian's openssh-server, installed where that starts no service on this machine."""
    if shutil.which("sshd", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin"):
        return
    if os.geteuid() != 0 or SYSTEMD.exists():
        pytest.skip("no sshd on this machine, and installing openssh-server would start a service: install it first")
    ensure_packages(["openssh-server"], Progress())


@pytest.fixture(scope="session")
def host(sshd_package: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A host as Debian delivers it: its sshd accepts no environment from clients but SEEDBED_*."""
    with sshd(tmp_path_factory.mktemp("sshd") / "host", "AcceptEnv SEEDBED_*") as server:
        yield server


@pytest.fixture(scope="session")
def open_host(sshd_package: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A host whose sshd accepts the variables of the command package."""
    with sshd(tmp_path_factory.mktemp("sshd") / "open", "AcceptEnv PULUMI_COMMAND_*") as server:
        yield server
