import asyncio
import socket
import threading
from contextlib import contextmanager

import asyncssh
import pytest

from seedbed.checks.hosts import Target, check_hosts
from seedbed.findings import Status

DF = "/dev/sda1 100000000 1 {kib} 1% /\n"


@contextmanager
def host(host_key, authorized, free_kib=50_000_000):
    """An SSH server on loopback that answers `df`; gives its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def answer(process):
        process.stdout.write(DF.format(kib=free_kib))
        process.exit(0)

    async def listen():
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[asyncssh.import_private_key(host_key)],
            authorized_client_keys=asyncssh.import_authorized_keys(authorized),
            process_factory=answer,
        )

    async def close(server):
        server.close()
        await server.wait_closed()

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    try:
        yield server.get_port()
    finally:
        asyncio.run_coroutine_threadsafe(close(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def target(identity, port, name="server-a-1"):
    return Target(name, "127.0.0.1", port, "root", identity.host_key("server-a-1").public)


def check(identity, *targets, limit=5.0):
    return check_hosts(targets, identity.operator_key, "prod", limit)


def test_a_host_with_the_pinned_key_is_ok_and_tells_its_disk(identity):
    with host(identity.host_key("server-a-1").private, identity.operator_public_key) as port:
        findings = check(identity, target(identity, port))
    assert [finding.status for finding in findings] == [Status.OK, Status.OK]
    assert "47.7 GiB free" in findings[1].title


def test_a_host_with_a_full_disk_fails(identity):
    with host(identity.host_key("server-a-1").private, identity.operator_public_key, free_kib=1000) as port:
        findings = check(identity, target(identity, port))
    assert [finding.status for finding in findings] == [Status.OK, Status.FAIL]


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_a_host_with_another_key_is_called_that_and_not_down(identity, kind):
    other = asyncssh.generate_private_key(kind).export_private_key().decode()
    with host(other, identity.operator_public_key) as port:
        (finding,) = check(identity, target(identity, port))
    assert finding.status is Status.FAIL
    assert "another host key" in finding.title
    assert "seedbed cloud-init prod server-a-1" in finding.remedy


def test_a_host_that_refuses_the_operator_is_the_right_machine(identity):
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    with host(identity.host_key("server-a-1").private, other) as port:
        (finding,) = check(identity, target(identity, port))
    assert finding.status is Status.FAIL
    assert "refuses the operator's key" in finding.title


def test_a_closed_port_is_a_host_that_cannot_be_reached(identity):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        (finding,) = check(identity, target(identity, taken.getsockname()[1]))
    assert "cannot be reached" in finding.title


def test_a_host_that_says_nothing_is_given_up_while_others_are_asked(identity):
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        host(identity.host_key("server-a-1").private, identity.operator_public_key) as port,
    ):
        silent = target(identity, mute.getsockname()[1], "agent-a-1")
        findings = check(identity, silent, target(identity, port), limit=0.5)
    assert [finding.status for finding in findings] == [Status.FAIL, Status.OK, Status.OK]
    assert "no answer within 0.5 s" in findings[0].title
