"""How the edge takes over what it is told; on loopback, without a namespace."""

import asyncio
import json
import socket
from ipaddress import IPv4Interface
from pathlib import Path

from lab.cloud.edge import Config, Edge
from lab.cloud.hypervisor import Balancer, HealthCheck
from lab.cloud.metadata import Subject

CHECK = HealthCheck("tcp", 9, "/", interval=3600, timeout=1, unhealthy=1, healthy=1)
SUBJECT = Subject(
    id=1,
    name="a-1",
    public="127.0.0.1",
    subnet="127.0.0.0/24",
    private="127.0.1.1/24",
    mac="02:00:00:00:00:01",
    nameserver="127.0.0.2",
    user_data="told",
    ssh_keys=(),
    reserved=None,
    region="fra1",
)


def balancer(name: str, port: int, *backends: str) -> Balancer:
    return Balancer(name, "127.0.0.1", IPv4Interface("127.0.0.2/8"), ((port, 9),), CHECK, backends)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def test_a_configuration_comes_out_of_its_file_as_it_went_in() -> None:
    config = Config((balancer("one", 80, "10.20.0.10"),), (SUBJECT,), "127.0.0.1", 8080)
    assert Config.from_json(config.to_json("7")) == (config, "7")


def test_the_edge_takes_over_what_is_new_keeps_what_is_the_same_and_ends_what_is_gone(tmp_path: Path) -> None:
    async def test() -> None:
        status = tmp_path / "status.json"
        edge = Edge(tmp_path / "config.json", status)
        one, two = free_port(), free_port()
        await edge.take_over(Config((balancer("one", one),), (), "127.0.0.1", 0), "first")
        kept = edge._balancers["one"]
        again = Config((balancer("one", one, "127.0.0.3"), balancer("two", two)), (), "127.0.0.1", 0)
        await edge.take_over(again, "second")
        assert edge._balancers["one"] is kept
        assert json.loads(status.read_text()) == {
            "generation": "second",
            "problem": "",
            "health": {"one": {"127.0.0.3": False}, "two": {}},
        }
        assert listens(one)
        await edge.take_over(Config((balancer("two", two),), (), "127.0.0.1", 0), "third")
        assert not listens(one)
        assert listens(two)
        await edge.take_over(Config((), (), "127.0.0.1", 0), "fourth")
        assert not listens(two)

    asyncio.run(test())


def test_what_cannot_be_is_said_and_the_rest_is_done(tmp_path: Path) -> None:
    async def test() -> None:
        edge = Edge(tmp_path / "config.json", tmp_path / "status.json")
        good, taken = free_port(), socket.socket()
        with taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            bad = balancer("bad", taken.getsockname()[1])
            await edge.take_over(Config((bad, balancer("good", good)), (), "127.0.0.1", 0), "1")
        status = json.loads((tmp_path / "status.json").read_text())
        assert status["problem"].startswith("load balancer bad: ")
        assert list(status["health"]) == ["good"]
        assert listens(good)
        await edge.take_over(Config((), (), "127.0.0.1", 0), "2")

    asyncio.run(test())
