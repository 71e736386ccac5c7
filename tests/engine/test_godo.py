"""A client that is not ours finds in the lab's cloud what it finds in DigitalOcean's: godo, in a small Go program."""

import json
import re
import subprocess
import urllib.request
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab.cloud import resources, service
from lab.cloud.limits import Limits
from tools import gobuild
from tools.progress import Progress

GODO = Path(__file__).parents[2] / "lab" / "cloud" / "godo"
RUN_SECONDS = 300


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run of the program on a cloud that makes nothing: its exit code, its lines, and the requests it made."""
    lab_dir = tmp_path_factory.mktemp("lab")
    program = gobuild.build(GODO, ".", "godo", "-s -w", progress=Progress())
    # The program asks often where it waits; that the limits hold is tested where the clock is the test's.
    endpoint = service.start(
        lab_dir, "godo", IPv4Network("10.99.0.0/24"), Progress(), hypervisor="paper", limits=Limits(minute=5000)
    )
    try:
        done = subprocess.run(
            [str(program)],
            env={
                "DIGITALOCEAN_API_URL": endpoint.url,
                "DIGITALOCEAN_TOKEN": endpoint.token,
                "DIGITALOCEAN_READ_ONLY_TOKEN": endpoint.token_read_only,
            },
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        asked = urllib.request.Request(
            f"{endpoint.url}/lab/requests", headers={"Authorization": f"Bearer {endpoint.token}"}
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:
            requests = json.load(answer)["requests"]
    finally:
        service.stop(lab_dir)
    return SimpleNamespace(code=done.returncode, lines=done.stdout.splitlines(), errors=done.stderr, requests=requests)


def test_every_call_of_godo_is_answered_as_it_expects(run):
    *calls, total = run.lines
    assert [line for line in calls if not line.startswith("ok   ")] == []
    assert total == f"{len(calls)} calls, 0 failed"
    assert (run.code, run.errors) == (0, "")


def test_every_route_of_the_cloud_answers_godo_at_least_once(run):
    routes = resources.load().routes
    assert routes
    done = [
        (request["method"], request["path"].partition("?")[0])
        for request in run.requests
        if 200 <= request["status"] < 300
    ]
    missed = [
        f"{route.method} {route.pattern}"
        for route in routes
        if not any(method == route.method and route.match(path) is not None for method, path in done)
    ]
    assert missed == []


def test_the_errors_that_clients_tell_apart_were_all_met(run):
    assert {400, 401, 403, 404, 409, 412, 422, 429, 500, 503} <= {request["status"] for request in run.requests}


def test_the_program_uses_a_released_godo():
    assert re.search(r"^\tgithub\.com/digitalocean/godo v\d+\.\d+\.\d+$", (GODO / "go.mod").read_text(), re.MULTILINE)
