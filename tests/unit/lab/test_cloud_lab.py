import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Network
from types import SimpleNamespace

import pytest

from lab import LabError, cloud_lab
from lab.cloud import service, spaces
from lab.cloud.environment import environment
from tools.progress import Progress

TAKEN = {IPv4Network("10.77.1.0/24"), IPv4Network("10.77.2.0/24")}


@pytest.fixture
def machine(monkeypatch):
    """This machine, on which the labs of others have the networks of TAKEN."""

    def check(spec):
        if spec.subnet in TAKEN:
            raise LabError(f"subnet {spec.subnet} belongs to another")

    monkeypatch.setattr(cloud_lab.machine, "check_able", lambda: None)
    monkeypatch.setattr(cloud_lab.machine, "check", check)
    monkeypatch.setattr(cloud_lab, "ensure_packages", lambda *_: None)


def test_a_lab_gets_the_first_network_that_nobody_has_and_keeps_it(machine, monkeypatch, tmp_path):
    folder = tmp_path / "prod"
    assert cloud_lab.ensure_subnet("prod", folder, Progress()) == IPv4Network("10.77.3.0/24")
    monkeypatch.setattr("tests.unit.lab.test_cloud_lab.TAKEN", set())
    assert cloud_lab.ensure_subnet("prod", folder, Progress()) == IPv4Network("10.77.3.0/24")
    assert folder.stat().st_mode & 0o077 == 0


def test_where_no_network_is_free_the_last_refusal_says_why(machine, monkeypatch, tmp_path):
    monkeypatch.setattr(cloud_lab, "SUBNETS", sorted(TAKEN))
    with pytest.raises(LabError, match=r"10\.77\.2\.0/24 belongs to another"):
        cloud_lab.ensure_subnet("prod", tmp_path, Progress())
    assert list(tmp_path.iterdir()) == []


def test_the_dev_labs_network_and_those_of_the_tests_are_never_given():
    assert not {IPv4Network("10.77.0.0/24"), IPv4Network("10.77.100.0/24")} & set(cloud_lab.SUBNETS)


def test_a_damaged_note_of_the_network_says_what_to_do(tmp_path):
    (tmp_path / cloud_lab.SUBNET).write_text("10.77.1.0/")
    with pytest.raises(LabError, match="damaged"):
        cloud_lab.subnet_of(tmp_path)


@pytest.fixture
def api(monkeypatch):
    """An API of domains; `zones` are those of the account, `answers` what else it says by method."""
    state = SimpleNamespace(zones=[], answers={}, tokens=set())

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, status, body):
            state.tokens.add(self.headers["Authorization"])
            self.send_response(state.answers.get(self.command, status))
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def do_GET(self):
            there = self.path.removeprefix("/v2/domains/") in state.zones
            self._answer(200 if there else 404, {"id": "not_found"})

        def do_POST(self):
            state.zones.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["name"])
            self._answer(201, {})

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", token="generated")
    monkeypatch.setattr(service, "load", lambda _: endpoint)
    yield state
    server.shutdown()
    server.server_close()


def test_the_account_gets_the_zone_once(api, tmp_path):
    assert cloud_lab.ensure_zone(tmp_path, "example.org", Progress())
    assert not cloud_lab.ensure_zone(tmp_path, "example.org", Progress())
    assert api.zones == ["example.org"]
    assert api.tokens == {"Bearer generated"}


def test_a_refusal_of_the_cloud_is_told(api, tmp_path):
    api.answers["POST"] = 422
    with pytest.raises(LabError, match="POST /v2/domains: 422"):
        cloud_lab.ensure_zone(tmp_path, "example.org", Progress())


def test_the_engine_is_told_of_both_the_api_and_the_object_storage(monkeypatch, tmp_path):
    storage = spaces.Spaces("http://10.77.1.2:7480", "AK", "SK", tmp_path)
    monkeypatch.setattr(service, "load", lambda _: SimpleNamespace(url="http://127.0.0.1:8", token="generated"))
    monkeypatch.setattr(spaces, "load", lambda _: storage)
    assert environment(tmp_path) == {
        "DIGITALOCEAN_TOKEN": "generated",
        "DIGITALOCEAN_API_URL": "http://127.0.0.1:8",
        "SPACES_ENDPOINT_URL": "http://10.77.1.2:7480",
        "SPACES_ACCESS_KEY_ID": "AK",
        "SPACES_SECRET_ACCESS_KEY": "SK",
    }


def test_a_lab_that_never_had_a_cloud_adds_nothing_and_stops_quietly(tmp_path):
    assert environment(tmp_path) == {}
    assert cloud_lab.status(tmp_path) is None
    cloud_lab.stop(tmp_path)
    assert list(tmp_path.iterdir()) == []
