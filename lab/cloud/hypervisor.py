"""What the cloud's API is made real by: machines, their wires, their disks, and the edge of the network."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network
from typing import Protocol


@dataclass(frozen=True)
class Machine:
    """A droplet as the hypervisor boots it.

    Args:
        id: the API's number of it.
        name: its hostname; two machines may have the same one in the API, but not in one lab.
        public: its IPv4 address in the lab's subnet.
        private: its address in its VPC, with the VPC's prefix length.
        user_data: for cloud-init, as it was given; empty where there is none.
        ssh_keys: OpenSSH public keys that root lets in.
        memory_mib: of its size.
        vcpus: of its size.
        region: the slug of where it is.
    """

    id: int
    name: str
    public: str
    private: IPv4Interface
    user_data: str = field(repr=False)
    ssh_keys: tuple[str, ...]
    memory_mib: int
    vcpus: int
    region: str


@dataclass(frozen=True)
class Rule:
    """What one inbound rule of a firewall lets in: a protocol (`tcp`, `udp`, `icmp`), ports (None: all), from where."""

    protocol: str
    ports: tuple[int, int] | None
    sources: tuple[IPv4Network, ...]


@dataclass(frozen=True)
class HealthCheck:
    """`protocol` is `tcp`, `http` or `https`; times in seconds, thresholds in checks."""

    protocol: str
    port: int
    path: str
    interval: int
    timeout: int
    unhealthy: int
    healthy: int


@dataclass(frozen=True)
class Balancer:
    """A load balancer: what arrives at a port of its address goes to a port of one of its healthy backends.

    Args:
        public: its address in the lab's subnet.
        private: its address in the VPC, which its backends see.
        ports: pairs of the port that it listens on and the backends' port; all pass TCP through.
        backends: private addresses of machines.
    """

    id: str
    public: str
    private: IPv4Interface
    ports: tuple[tuple[int, int], ...]
    check: HealthCheck
    backends: tuple[str, ...]


class OutOfCapacityError(Exception):
    """The machine cannot be made here and now."""


class Hypervisor(Protocol):
    """Calls for one machine come one after another; for several they may come at once. All may be repeated."""

    def create(self, machine: Machine) -> None:
        """Boots it; returns when it has begun. Raises OutOfCapacityError."""

    def destroy(self, machine: int) -> None:
        """Ends it at once, with its disk; its volumes stay."""

    def power(self, machine: int, *, on: bool) -> None:
        """Switches it on, or off at once."""

    def reboot(self, machine: int) -> None:
        """As a person at its console would."""

    def is_on(self, machine: int) -> bool:
        """Whether it has power."""

    def let_in(self, machine: int, rules: Sequence[Rule] | None) -> None:
        """From now on only this traffic, and answers, reach the machine's addresses; None: all. Lasts over boots."""

    def make_volume(self, volume: str, name: str, gib: int, filesystem: str) -> None:
        """A disk by its id, with a file system (`ext4`, `xfs`, or empty for none), sparse."""

    def grow_volume(self, volume: str, gib: int) -> None:
        """The device; a file system on it stays as it is."""

    def remove_volume(self, volume: str) -> None:
        """With all that is on it."""

    def attach(self, machine: int, volume: str, name: str) -> None:
        """As `/dev/disk/by-id/scsi-0DO_Volume_<name>` of the machine; lasts over its boots."""

    def detach(self, machine: int, volume: str) -> None:
        """As if it were pulled."""

    def reserve(self, address: str, machine: int | None) -> None:
        """A reserved address leads to the machine, or nowhere."""

    def balance(self, balancers: Sequence[Balancer]) -> None:
        """These are all load balancers from now on; connections of unchanged ones live on."""

    def add_key(self, access_key: str, secret_key: str, grants: Sequence[tuple[str, str]]) -> None:
        """A key of the object storage; grants are pairs of a bucket (empty: all) and `read`, `readwrite` or `fullaccess`."""

    def remove_key(self, access_key: str) -> None:
        """It lets nobody in any more."""
