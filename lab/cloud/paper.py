"""A hypervisor that makes nothing and remembers everything: for tests of the API and of its clients."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.cloud.hypervisor import Balancer, Machine, OutOfCapacityError, Rule


@dataclass
class Disk:
    """A volume: `machine` is where it is attached."""

    name: str
    gib: int
    filesystem: str
    machine: int | None = None


@dataclass
class PaperHypervisor:
    """`calls` are the methods' names with their first argument, in order; the rest is what there is now."""

    capacity: int | None = None
    """How many machines it holds; None: any number."""
    calls: list[tuple[str, object]] = field(default_factory=list)
    machines: dict[int, Machine] = field(default_factory=dict)
    on: set[int] = field(default_factory=set)
    rules: dict[int, tuple[Rule, ...] | None] = field(default_factory=dict)
    volumes: dict[str, Disk] = field(default_factory=dict)
    reserved: dict[str, int | None] = field(default_factory=dict)
    balancers: tuple[Balancer, ...] = ()
    keys: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def create(self, machine: Machine) -> None:
        """Remembers it as switched on."""
        with self._lock:
            self.calls.append(("create", machine.id))
            if self.capacity is not None and machine.id not in self.machines and len(self.machines) >= self.capacity:
                raise OutOfCapacityError(f"there are {self.capacity} machines already")
            self.machines[machine.id] = machine
            self.on.add(machine.id)

    def destroy(self, machine: int) -> None:
        """Forgets it; its volumes lose their machine."""
        with self._lock:
            self.calls.append(("destroy", machine))
            self.machines.pop(machine, None)
            self.on.discard(machine)
            self.rules.pop(machine, None)
            for disk in self.volumes.values():
                disk.machine = None if disk.machine == machine else disk.machine

    def power(self, machine: int, *, on: bool) -> None:
        """Remembers it."""
        with self._lock:
            self.calls.append(("power_on" if on else "power_off", machine))
            if on:
                self.on.add(machine)
            else:
                self.on.discard(machine)

    def reboot(self, machine: int) -> None:
        """Changes nothing."""
        with self._lock:
            self.calls.append(("reboot", machine))

    def is_on(self, machine: int) -> bool:
        """As told last."""
        with self._lock:
            return machine in self.on

    def let_in(self, machine: int, rules: Sequence[Rule] | None) -> None:
        """Remembers the rules."""
        with self._lock:
            self.calls.append(("let_in", machine))
            self.rules[machine] = None if rules is None else tuple(rules)

    def make_volume(self, volume: str, name: str, gib: int, filesystem: str) -> None:
        """Remembers it; again: changes nothing."""
        with self._lock:
            self.calls.append(("make_volume", volume))
            self.volumes.setdefault(volume, Disk(name, gib, filesystem))

    def grow_volume(self, volume: str, gib: int) -> None:
        """Remembers the size."""
        with self._lock:
            self.calls.append(("grow_volume", volume))
            self.volumes[volume].gib = gib

    def remove_volume(self, volume: str) -> None:
        """Forgets it."""
        with self._lock:
            self.calls.append(("remove_volume", volume))
            self.volumes.pop(volume, None)

    def attach(self, machine: int, volume: str, name: str) -> None:  # noqa: ARG002 (the protocol's)
        """Remembers where it is."""
        with self._lock:
            self.calls.append(("attach", volume))
            self.volumes[volume].machine = machine

    def detach(self, machine: int, volume: str) -> None:  # noqa: ARG002 (the protocol's)
        """Remembers that it is nowhere."""
        with self._lock:
            self.calls.append(("detach", volume))
            self.volumes[volume].machine = None

    def reserve(self, address: str, machine: int | None) -> None:
        """Remembers where it leads."""
        with self._lock:
            self.calls.append(("reserve", address))
            self.reserved[address] = machine

    def balance(self, balancers: Sequence[Balancer]) -> None:
        """Remembers them."""
        with self._lock:
            self.calls.append(("balance", len(balancers)))
            self.balancers = tuple(balancers)

    def add_key(self, access_key: str, secret_key: str, grants: Sequence[tuple[str, str]]) -> None:  # noqa: ARG002
        """Remembers what it may; not the secret."""
        with self._lock:
            self.calls.append(("add_key", access_key))
            self.keys[access_key] = tuple(grants)

    def remove_key(self, access_key: str) -> None:
        """Forgets it."""
        with self._lock:
            self.calls.append(("remove_key", access_key))
            self.keys.pop(access_key, None)
