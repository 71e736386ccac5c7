import json
import socket
import stat
import urllib.request
from collections.abc import Iterator
from io import StringIO
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from lab import LabError
from lab.cloud import service
from lab.cloud.service import Endpoint
from tools.progress import Progress

SUBNET = IPv4Network("10.95.8.0/24")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    service.stop(tmp_path)


def start(folder: Path) -> Endpoint:
    return service.start(folder, "unit", SUBNET, Progress(StringIO()), hypervisor="paper")


def ask(endpoint: Endpoint, path: str, body: object = None) -> Any:
    request = urllib.request.Request(
        endpoint.url + path,
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {endpoint.token}"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def test_a_cloud_outlives_its_process(folder: Path) -> None:
    assert (service.load(folder), service.status(folder).pid) == (None, None)
    endpoint = start(folder)
    first = service.status(folder)
    assert (first.answers, first.url) == (True, endpoint.url)
    ask(endpoint, "/v2/tags", {"name": "kept"})
    assert start(folder) == endpoint
    assert service.status(folder).pid == first.pid
    assert service.stop(folder)
    assert (service.status(folder).pid, service.load(folder)) == (None, endpoint)
    assert start(folder) == endpoint
    assert ask(endpoint, "/v2/tags/kept")["tag"]["name"] == "kept"
    assert {
        stat.S_IMODE((folder / "cloud" / name).stat().st_mode) for name in ("token", "token-read-only", "state.json")
    } == {0o600}
    log = (folder / "services" / "cloud.log").read_text()
    assert endpoint.token not in log
    assert "/v2/tags" in log


def test_a_port_that_is_taken_is_named_with_the_remedy(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        (folder / "cloud").mkdir()
        (folder / "cloud" / "port").write_text(str(other.getsockname()[1]))
        with pytest.raises(LabError, match=r"has ended(.|\n)*Address already in use(.|\n)*remove .*port"):
            start(folder)


def test_stopping_what_never_ran_is_no_error(tmp_path: Path) -> None:
    assert service.stop(tmp_path) is False
