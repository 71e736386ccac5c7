"""The engine, the plugins that are installed, sshd servers for remote commands, and an API server for objects."""

import itertools
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import artifacts
from tests.engine.conformance.apiserver import ApiServer, api_server
from tests.engine.conformance.cloud import PaperCloud, paper_cloud
from tests.engine.conformance.harness import Server, Stack, copied_stack, sshd
from tools.debian import ensure_packages
from tools.progress import Progress
from tools.toolchain import Toolchain

SYSTEMD = Path("/run/systemd/system")


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker of this folder."""
    config.addinivalue_line("markers", "official_breaks(why): a documented rule that the official plugin breaks")


@pytest.fixture(autouse=True)
def known_deviation(request: pytest.FixtureRequest, toolchain: Toolchain) -> None:
    """Marks the rules that the official plugin breaks as expected failures when it is the one under test."""
    marker = request.node.get_closest_marker("official_breaks")
    plugin = next((name for name in ("digitalocean", "kubernetes") if name in request.path.name), "command")
    if marker is not None and f"resource-{plugin}" not in toolchain.drop_ins:
        request.applymarker(pytest.mark.xfail(reason=marker.args[0], strict=False))


@pytest.fixture
def stack(empty_stack: Stack, tmp_path: Path) -> Stack:
    """A stack of the test's own."""
    return copied_stack(empty_stack, tmp_path / "stack")


@pytest.fixture(scope="module")
def shared_stack(empty_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """A stack for the rules of one file that only look at what one `up` left."""
    return copied_stack(empty_stack, tmp_path_factory.mktemp("shared") / "stack")


@pytest.fixture
def cloud(stack: Stack, tmp_path: Path) -> Iterator[PaperCloud]:
    """A cloud on paper of the test's own, which its stack uses."""
    with paper_cloud(tmp_path / "cloud") as served:
        stack.environment.update(served.environment())
        yield served


@contextmanager
def stack_and_cloud(empty: Stack, folder: Path) -> Iterator[tuple[Stack, PaperCloud]]:
    """A stack and a cloud on paper that it uses, both in `folder`, for rules that share what few commands do."""
    stack = copied_stack(empty, folder / "stack")
    with paper_cloud(folder / "cloud") as served:
        stack.environment.update(served.environment())
        yield stack, served


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


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server of the lab's k3s stand-in; it needs neither root nor a network."""
    if platform.system() != "Linux":
        pytest.skip(f"the k3s stand-in is for Linux; this is {platform.system()}")
    with api_server(artifacts.build_stand_in(Progress()), tmp_path_factory.mktemp("cluster") / "server") as server:
        yield server


_numbers = itertools.count(1)


@pytest.fixture
def namespace(cluster: ApiServer) -> str:
    """A namespace of the test's own."""
    name = f"t{next(_numbers)}"
    cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    return name
