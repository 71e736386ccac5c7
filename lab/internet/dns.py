"""Names: dnsmasq's configuration, the outer machine's resolvers, and a small client that never waits long."""

import ipaddress
import os
import secrets
import shutil
import socket
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

RESOLV_CONF = Path("/etc/resolv.conf")
SYSTEMD_RESOLV_CONF = Path("/run/systemd/resolve/resolv.conf")
"""Where systemd-resolved lists the real servers when `/etc/resolv.conf` names only its stub on 127.0.0.53."""

_A, _IN, _OPT = 1, 1, 41  # RFC 1035 §3.2.2, RFC 6891 §6.1.1
_UDP_PAYLOAD = 1232  # bytes; what passes unfragmented everywhere (DNS flag day 2020)
_NXDOMAIN = 3


class NameNotFoundError(Exception):
    """The resolvers say that the name does not exist or has no IPv4 address, or none of them answers."""


def outer_resolvers(resolv_conf: Path = RESOLV_CONF, systemd_resolv_conf: Path = SYSTEMD_RESOLV_CONF) -> list[str]:
    """The IPv4 addresses of the outer machine's resolvers, without those that only it can reach.

    An address on loopback means nothing in the lab's namespace. Empty when there is none.
    """
    for path in (resolv_conf, systemd_resolv_conf):
        if servers := _nameservers(path):
            return servers
    return []


def _nameservers(path: Path) -> list[str]:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            address = ipaddress.IPv4Address(words[1])
        except ValueError:  # IPv6: the lab's namespace has no route for it
            continue
        if not (address.is_loopback or address.is_unspecified):
            found.append(str(address))
    return list(dict.fromkeys(found))


def render_config(
    address: str, names: Iterable[str], resolvers: Sequence[str], port: int = 53, user: str = "nobody"
) -> str:
    """dnsmasq's configuration: `names` have `address` and nothing else, the rest is forwarded to `resolvers`.

    A name stands for itself alone, not for what is below it (`github.com`, not `api.github.com`): that takes
    `host-record`, which unlike `address` does not match subdomains; `local`, so that AAAA and the like are answered
    as "no such data" at once and not forwarded; and `server=/*.name/#`, which hands what is below back to the
    resolvers (dnsmasq's manual; tried with 2.90).
    """
    lines = [
        f"port={port}",
        f"listen-address={address}",
        "bind-interfaces",
        "no-hosts",
        "no-resolv",
        "no-poll",
        "pid-file=",
        "log-facility=-",
        "log-queries",
        f"user={user}",
        "cache-size=1000",
        *(f"server={resolver}" for resolver in resolvers),
    ]
    for name in names:
        lines += [f"host-record={name},{address}", f"local=/{name}/"]
        if resolvers:
            lines.append(f"server=/*.{name}/#")
    return "\n".join(lines) + "\n"


def lookup(name: str, servers: Sequence[str], timeout: float = 2.0, port: int = 53) -> list[str]:
    """The IPv4 addresses of `name`; each of `servers` is asked once and given `timeout` seconds.

    The system's resolver would do, were it not for its waits (5 s and two tries a server by default).

    Raises:
        NameNotFoundError: no such name or address, or nobody answers.
    """
    reasons = []
    for server in servers:
        try:
            return _ask(name, server, timeout, port)
        except TimeoutError:
            reasons.append(f"{server} does not answer")
        except OSError as error:
            reasons.append(f"{server}: {error.strerror}")
    raise NameNotFoundError(f"{name} cannot be resolved: {', '.join(reasons) or 'there is no resolver'}")


def _ask(name: str, server: str, timeout: float, port: int) -> list[str]:
    identity = secrets.randbits(16)
    question = _encode(name) + struct.pack(">2H", _A, _IN)
    query = struct.pack(">6H", identity, 0x0100, 1, 0, 0, 1) + question
    query += b"\0" + struct.pack(">2HIH", _OPT, _UDP_PAYLOAD, 0, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(timeout)
        udp.connect((server, port))
        udp.send(query)
        answer = udp.recv(4096)
    try:
        return _addresses(name, server, identity, len(question), answer)
    except (struct.error, IndexError) as error:
        raise OSError(0, "sent an answer that cannot be read") from error


def _addresses(name: str, server: str, identity: int, question: int, answer: bytes) -> list[str]:
    got, flags, _, count, _, _ = struct.unpack_from(">6H", answer)
    if got != identity:
        raise OSError(0, "answered another question")
    code = flags & 0xF
    if code == _NXDOMAIN:
        raise NameNotFoundError(f"{server} says that there is no {name}")
    if code:
        raise OSError(0, f"refuses with DNS code {code}")
    place, found = 12 + question, []
    for _ in range(count):
        place = _skip_name(answer, place)
        kind, family, _, length = struct.unpack_from(">2HIH", answer, place)
        place += 10
        if (kind, family, length) == (_A, _IN, 4):
            found.append(socket.inet_ntoa(answer[place : place + 4]))
        place += length
    if not found:
        raise NameNotFoundError(f"{server} knows no IPv4 address of {name}")
    return found


def _encode(name: str) -> bytes:
    labels = [label.encode("ascii") for label in name.rstrip(".").split(".")]
    if not all(0 < len(label) < 64 for label in labels):
        raise NameNotFoundError(f"{name} is not a DNS name")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _skip_name(message: bytes, place: int) -> int:
    while length := message[place]:
        if length & 0xC0:  # a pointer ends the name (RFC 1035 §4.1.4)
            return place + 2
        place += 1 + length
    return place + 1


def dnsmasq() -> str | None:
    """The program's path; None where it is not installed. It is not on every user's PATH."""
    return shutil.which("dnsmasq", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
