import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.internet.dns import NameNotFoundError, lookup, outer_resolvers, render_config

from .conftest import LOOPBACK


def resolvers(tmp_path: Path, text: str, systemd: str | None = None) -> list[str]:
    own, other = tmp_path / "resolv.conf", tmp_path / "systemd.conf"
    own.write_text(text)
    if systemd is not None:
        other.write_text(systemd)
    return outer_resolvers(own, other)


def test_the_outer_machines_resolvers_are_taken_in_their_order(tmp_path: Path) -> None:
    text = "# x\nsearch example\nnameserver 192.0.2.2\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n"
    assert resolvers(tmp_path, text) == ["192.0.2.2", "192.0.2.1"]


def test_behind_systemds_stub_the_real_servers_are_taken(tmp_path: Path) -> None:
    assert resolvers(tmp_path, "nameserver 127.0.0.53\n", "nameserver 192.0.2.3\n") == ["192.0.2.3"]


def test_servers_that_the_labs_namespace_cannot_reach_do_not_count(tmp_path: Path) -> None:
    assert resolvers(tmp_path, "nameserver 127.0.0.1\nnameserver ::1\nnameserver 2001:db8::1\nnameserver\n") == []


def test_a_machine_without_resolv_conf_has_no_resolvers(tmp_path: Path) -> None:
    assert outer_resolvers(tmp_path / "none", tmp_path / "neither") == []


def test_each_name_is_answered_locally_and_what_is_below_it_forwarded() -> None:
    lines = render_config("10.77.0.2", ["github.com"], ["192.0.2.1"]).splitlines()
    assert {"host-record=github.com,10.77.0.2", "local=/github.com/", "server=/*.github.com/#"} <= set(lines)
    assert {"server=192.0.2.1", "listen-address=10.77.0.2", "bind-interfaces", "no-hosts"} <= set(lines)
    assert not any(line.startswith("dhcp") for line in lines)


def test_without_resolvers_nothing_is_forwarded() -> None:
    assert "server=" not in render_config("10.77.0.2", ["github.com"], [])


class Resolver:
    """Answers each query on a loopback port with what the test says."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((LOOPBACK, 0))
        self.port: int = self.socket.getsockname()[1]
        self.code = 0
        self.records: list[tuple[int, bytes]] = []
        self.identity_offset = 0
        self.cut: int | None = None
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while True:
            query, client = self.socket.recvfrom(512)
            if len(query) == 1:
                return
            identity = struct.unpack_from(">H", query)[0]
            end = query.index(b"\0", 12) + 5
            head = (identity + self.identity_offset) & 0xFFFF, 0x8180 | self.code, 1, len(self.records), 0, 0
            answer = struct.pack(">6H", *head) + query[12:end]
            for kind, data in self.records:
                answer += b"\xc0\x0c" + struct.pack(">2HIH", kind, 1, 60, len(data)) + data
            self.socket.sendto(answer[: self.cut], client)


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    found = Resolver()
    yield found
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.sendto(b".", (LOOPBACK, found.port))
    found.thread.join()
    found.socket.close()


A, CNAME = 1, 5
TARGET = b"\x03cdn\x07example\x00"


def test_addresses_are_found_behind_an_alias(resolver: Resolver) -> None:
    resolver.records = [(CNAME, TARGET), (A, bytes([192, 0, 2, 7])), (A, bytes([192, 0, 2, 8]))]
    assert lookup("quay.io", [LOOPBACK], port=resolver.port) == ["192.0.2.7", "192.0.2.8"]


def test_a_name_that_does_not_exist_is_said_not_to(resolver: Resolver) -> None:
    resolver.code = 3
    with pytest.raises(NameNotFoundError, match=r"there is no quay\.io"):
        lookup("quay.io", [LOOPBACK], port=resolver.port)


def test_a_name_without_an_address_is_an_error(resolver: Resolver) -> None:
    with pytest.raises(NameNotFoundError, match="no IPv4 address"):
        lookup("quay.io", [LOOPBACK], port=resolver.port)


@pytest.mark.parametrize("fault", [{"code": 5}, {"identity_offset": 1}, {"cut": 8}, {"cut": 40}])
def test_a_bad_answer_is_an_error(resolver: Resolver, fault: dict[str, int]) -> None:
    resolver.records = [(A, bytes([192, 0, 2, 7]))]
    for name, value in fault.items():
        setattr(resolver, name, value)
    with pytest.raises(NameNotFoundError, match="cannot be resolved"):
        lookup("quay.io", [LOOPBACK], port=resolver.port)


def test_a_silent_resolver_is_given_up_and_the_next_one_asked() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((LOOPBACK, 0))
        with pytest.raises(NameNotFoundError, match=r"does not answer, 127\.0\.0\.1 does not answer"):
            lookup("quay.io", [LOOPBACK, LOOPBACK], timeout=0.01, port=silent.getsockname()[1])


def test_without_a_resolver_nothing_resolves() -> None:
    with pytest.raises(NameNotFoundError, match="there is no resolver"):
        lookup("quay.io", [])


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64 + ".example"])
def test_what_is_no_name_is_not_asked_for(name: str) -> None:
    with pytest.raises(NameNotFoundError, match="not a DNS name"):
        lookup(name, [LOOPBACK])
