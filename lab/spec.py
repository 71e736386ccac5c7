"""What a lab and its hosts are made of: plain values, checked once when they are made."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from lab import LabError

LAB_NAME = re.compile(r"[a-z][a-z0-9]{0,7}")
"""A lab's name is part of the names of links, which the kernel limits to 15 characters."""

HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A host's full name is its hostname and its Node's name: an RFC 1123 label."""

FIRST_HOST = 10
"""Hosts have the addresses from .10 of the lab's subnet; those below it are the lab's own."""

METADATA = "169.254.169.254"
"""Where a cloud's machine asks what it is."""

ELSEWHERE = "set SEEDBED_LAB_ROOT to a folder on ext4 or xfs"
"""The remedy where a lab cannot lie in its folder."""


class HostState(StrEnum):
    """What a host is doing, as seen from outside it."""

    RUNNING = "running"
    FROZEN = "frozen"
    PARTITIONED = "partitioned"
    CUT = "cut"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Instance:
    """What makes a host the machine of a cloud: it is told what its cloud was given, and nothing of the lab's.

    Args:
        id: cloud-init takes a host with another one for a new machine.
        private: its second address, in a network that only machines of the cloud have, with the prefix length.
        user_data: for cloud-init, as it was given; empty where there is none.
        ssh_keys: OpenSSH public keys that root lets in.
        firewall: a text for ``nft -f`` that holds in its network namespace from its first boot on; empty for none.
    """

    id: str
    private: IPv4Interface
    user_data: str = field(repr=False)
    ssh_keys: tuple[str, ...]
    firewall: str = ""


@dataclass(frozen=True)
class HostSpec:
    """One host.

    Args:
        name: the full name (machine and generation), e.g. ``server-a-1``.
        address: IPv4 address in the lab's subnet, from .10 on.
        host_key_private: the OpenSSH ed25519 private key (PEM text) that the host's sshd answers with; empty for the
            machine of a cloud, whose user data may hold one.
        memory_bytes: the most memory that all of the host's processes may use; ``None`` for no limit.
        cpus: the most CPU time per second that they may use, in seconds; ``None`` for no limit.
        instance: for the machine of a cloud; ``None`` for a host that the lab itself tells what it is.
    """

    name: str
    address: str
    host_key_private: str = field(repr=False)
    memory_bytes: int | None = None
    cpus: float | None = None
    instance: Instance | None = None

    def __post_init__(self) -> None:
        if not HOST_NAME.fullmatch(self.name):
            raise LabError(f"host name {self.name!r}: use lower-case letters, digits and '-' (at most 63)")
        try:
            IPv4Address(self.address)
        except AddressValueError as error:
            raise LabError(f"host {self.name}: address {self.address!r} is not an IPv4 address") from error


@dataclass(frozen=True)
class LabSpec:
    """One lab.

    Args:
        name: ``[a-z][a-z0-9]{0,7}``; unique on the machine.
        directory: the lab's own folder; everything the lab keeps is in it.
        subnet: a /24 that no other lab uses: .1 is the machine itself, .2 the small internet, hosts from .10.
        operator_public_key: ``ssh-ed25519 AAAA…``, which root of every host lets in.
        operator_private_key: its private half (PEM text); kept 0600 in the folder for ``Lab.ssh``.
            Empty: the folder already has it, or ``Lab.ssh`` is not used.
        ca_certificates: PEM texts of the authorities that the hosts trust beside Debian's and the machine's own.
            A host has those of the day it was made.
    """

    name: str
    directory: Path
    subnet: IPv4Network
    operator_public_key: str
    operator_private_key: str = field(default="", repr=False)
    ca_certificates: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not LAB_NAME.fullmatch(self.name):
            raise LabError(f"lab name {self.name!r}: use a letter, then up to 7 letters or digits, lower case")
        if self.subnet.prefixlen != 24:
            raise LabError(f"lab {self.name}: subnet {self.subnet} is not a /24")
        if any(character in str(self.directory) for character in ',:\\"'):
            raise LabError(f'{self.directory}: no overlay can be mounted with , : \\ or " in its path; {ELSEWHERE}')

    @property
    def gateway(self) -> str:
        """The address of the machine itself, on the lab's bridge."""
        return str(self.subnet[1])

    @property
    def internet(self) -> str:
        """The address of the small internet: DNS and HTTPS for the lab's hosts."""
        return str(self.subnet[2])

    @property
    def bridge(self) -> str:
        """The bridge that the hosts are plugged into."""
        return f"sb-{self.name}"

    @property
    def internet_netns(self) -> str:
        """The network namespace in which the small internet's processes run."""
        return f"sb-{self.name}-inet"

    @property
    def operator_key_file(self) -> Path:
        """Where the operator's private key is kept (0600)."""
        return self.directory / "operator_key"

    @property
    def known_hosts_file(self) -> Path:
        """The hosts' public keys, pinned under their names and addresses."""
        return self.directory / "known_hosts"

    def check_host(self, host: HostSpec) -> None:
        """Raise ``LabError`` where ``host`` cannot be a host of this lab."""
        address = IPv4Address(host.address)
        if address not in self.subnet or not FIRST_HOST <= int(address) & 255 <= 254:
            first, last = self.subnet[FIRST_HOST], self.subnet[254]
            raise LabError(
                f"host {host.name}: address {address} is outside {first}-{last}, the hosts of lab {self.name}"
            )
        if host.name == "inet":
            raise LabError("host name 'inet' is taken by the small internet's namespace")
