"""The hypervisor of a lab: droplets are its hosts, volumes files of this machine, the rest is done at the edge.

A size's memory and CPUs are not enforced: the k3s stand-in of a lab wants more than the real one, and this machine has
what it has. A machine's name has to be a host's, and one of its lab alone.
"""

import json
import shutil
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

from lab import LabError, cgroups, disks, files, hosts, network, shell
from lab.cloud import edge, firewall, metadata, spaces
from lab.cloud.hypervisor import Balancer, Machine, OutOfCapacityError, Rule
from lab.lab import Lab
from lab.record import FIREWALL, Attached, Disk
from lab.spec import METADATA, HostSpec, HostState, Instance, LabSpec
from lab.status import state as state_of
from tools.debian import ensure_packages
from tools.progress import Progress

STATE = "cloud/hypervisor.json"
VOLUMES = "cloud/volumes"
FILESYSTEMS = {"ext4": "e2fsprogs", "xfs": "xfsprogs"}
"""With the package that makes them."""


@dataclass
class State:
    """What the hypervisor remembers; all of it is in one file, as user data is in it for the owner only."""

    machines: dict[int, Machine] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)
    """Names by id."""
    attached: dict[str, int] = field(default_factory=dict)
    """Machines by volume."""
    reserved: dict[str, int] = field(default_factory=dict)
    """Machines by address."""
    firewalls: dict[int, str] = field(default_factory=dict)
    """Texts for nft by machine."""
    balancers: tuple[Balancer, ...] = ()

    def to_json(self) -> str:
        """For the file."""
        note: dict[str, Any] = {
            **asdict(replace(self, machines={}, balancers=())),
            "machines": {key: _machine_note(machine) for key, machine in self.machines.items()},
            "balancers": [edge.balancer_note(balancer) for balancer in self.balancers],
        }
        return json.dumps(note, indent=1) + "\n"

    @staticmethod
    def from_json(text: str) -> "State":
        """What `to_json` gave."""
        note = json.loads(text)
        return State(
            machines={int(key): _machine(entry) for key, entry in note["machines"].items()},
            volumes=note["volumes"],
            attached=note["attached"],
            reserved=note["reserved"],
            firewalls={int(key): text for key, text in note["firewalls"].items()},
            balancers=tuple(edge.balancer(entry) for entry in note["balancers"]),
        )


def _machine_note(machine: Machine) -> dict[str, Any]:
    return {**asdict(machine), "private": str(machine.private)}


def _machine(note: dict[str, Any]) -> Machine:
    return Machine(**{**note, "private": IPv4Interface(note["private"]), "ssh_keys": tuple(note["ssh_keys"])})


class LabHypervisor:
    """The hypervisor protocol on the lab of a name, which has to be up.

    Every method raises LabError with the remedy where the lab cannot do it. What is said of a machine that is not there
    is forgotten, but for its firewall, which it will have when it is made.
    """

    def __init__(self, lab: str, directory: Path) -> None:
        """Remembers what the last one in this folder did; brings the edge back where it has ended with machines left."""
        self._name, self._directory = lab, directory
        self._lock = threading.RLock()
        path = directory / STATE
        self._state = State.from_json(path.read_text()) if path.exists() else State()
        if (self._state.machines or self._state.balancers) and (network.NETNS / self._spec.internet_netns).exists():
            self._refresh_edge()

    def create(self, machine: Machine) -> None:
        """As a host of the lab that is told what its user data says, and the lab's own needs as vendor data."""
        with self._lock:
            same = [other.id for other in self._state.machines.values() if other.name == machine.name]
            if same and same != [machine.id]:
                raise OutOfCapacityError(f"the lab has a machine {machine.name} already, and its names are unique")
            known = machine.id in self._state.machines
            self._state.machines[machine.id] = machine
            self._state.firewalls.setdefault(machine.id, firewall.render(None))
            self._save()
        try:
            self._boot(machine)
        except (LabError, OSError) as error:
            if not known:
                self.destroy(machine.id)
            raise OutOfCapacityError(str(error)) from error

    def destroy(self, machine: int) -> None:
        """With its disk; its volumes stay, attached to nobody."""
        with self._lock:
            gone = self._state.machines.get(machine)
            volumes = [volume for volume, owner in self._state.attached.items() if owner == machine]
        if gone is None:
            return
        lab = Lab.open(self._name)
        if gone.name in lab.host_names():
            lab.remove_host(gone.name)
        for volume in volumes:
            self._take(volume)
        with self._lock:
            self._state.machines.pop(machine, None)
            self._state.firewalls.pop(machine, None)
            self._state.attached = {v: owner for v, owner in self._state.attached.items() if owner != machine}
            self._state.reserved = {a: owner for a, owner in self._state.reserved.items() if owner != machine}
            self._save()
        self._refresh_edge()

    def power(self, machine: int, *, on: bool) -> None:
        """Nothing where it is so already."""
        lab, name = self._host(machine)
        if on:
            lab.power_on(name)
        else:
            lab.cut(name)

    def reboot(self, machine: int) -> None:
        """Returns when the next boot has begun; a machine without power stays so."""
        lab, name = self._host(machine)
        if self.is_on(machine):
            lab.reboot(name)

    def is_on(self, machine: int) -> bool:
        """Whether it has power; a frozen machine has."""
        with self._lock:
            known = self._state.machines.get(machine)
        spec = self._spec
        if known is None or known.name not in hosts.names(spec):
            return False
        return state_of(spec, known.name) not in (HostState.CUT, HostState.STOPPED)

    def let_in(self, machine: int, rules: Sequence[Rule] | None) -> None:
        """In one step, in the machine's network namespace, where its root could remove it: real ones are out of reach."""
        with self._lock:
            self._state.firewalls[machine] = firewall.render(rules)
            self._save()
            known = self._state.machines.get(machine)
            if known is None or not self._home(known).is_dir():
                return
            self._write_firewall(known)
        netns = network.netns_name(self._name, known.name)
        argv = network.run_in(netns, "nft", "-f", str(self._home(known) / FIREWALL))
        done = shell.attempt(*argv) if (network.NETNS / netns).exists() else None
        # A namespace that has just gone belongs to a boot that has ended; the next one reads the file.
        if done is not None and done.returncode != 0 and (network.NETNS / netns).exists():
            raise LabError(f"machine {known.name}: its firewall cannot be set: {done.stderr.strip()}")

    def make_volume(self, volume: str, name: str, gib: int, filesystem: str) -> None:
        """Takes as much of this machine's disk as is written to it, not what it is large."""
        image = self._image(volume)
        if not image.exists():
            draft = image.with_suffix(".new")
            draft.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with draft.open("wb") as file:
                file.truncate(gib << 30)
            if filesystem:
                _make_filesystem(draft, filesystem)
            draft.rename(image)
        with self._lock:
            self._state.volumes[volume] = name
            self._save()

    def grow_volume(self, volume: str, gib: int) -> None:
        """Never makes it smaller."""
        disks.grow(self._image(volume), gib << 30)

    def remove_volume(self, volume: str) -> None:
        """Takes it from its machine before, where it is still attached."""
        with self._lock:
            owner = self._state.attached.get(volume)
        if owner is not None:
            self.detach(owner, volume)
        image = self._image(volume)
        if image.exists():
            disks.detach(image)
            image.unlink()
        with self._lock:
            self._state.volumes.pop(volume, None)
            self._save()

    def attach(self, machine: int, volume: str, name: str) -> None:
        """While it runs, or from its next boot on."""
        lab, host = self._host(machine)
        with self._lock:
            owner = self._state.attached.get(volume)
            if owner not in (None, machine):
                raise LabError(f"volume {volume} is attached to machine {owner}: detach it first")
            self._state.volumes[volume] = name
            self._state.attached[volume] = machine
            self._save()
            self._write_attached(machine)
        loop = disks.attach(self._image(volume))
        pid = self._running_init(lab.spec, host)
        if pid is not None:
            disks.plug(pid, loop, name)

    def detach(self, machine: int, volume: str) -> None:
        """A file system on it that is mounted writes nothing more, and whoever uses it gets errors."""
        with self._lock:
            if self._state.attached.get(volume) != machine:
                return
            name = self._state.volumes[volume]
            known = self._state.machines.get(machine)
        loop = disks.of(self._image(volume))
        pid = self._running_init(self._spec, known.name) if known is not None else None
        if loop is not None and pid is not None:
            disks.pull(pid, loop, name)
        self._take(volume, wait=pid is None)
        with self._lock:
            self._state.attached.pop(volume, None)
            self._save()
            self._write_attached(machine)

    def reserve(self, address: str, machine: int | None) -> None:
        """It is an address of the machine's own, beside those of `eth0`; really, it would be translated on its way."""
        with self._lock:
            before = self._state.reserved.pop(address, None)
            if machine is not None and machine in self._state.machines:
                self._state.reserved[address] = machine
            self._save()
            for owner in {before, machine} - {None}:
                self._write_attached(owner)
            names = {key: value.name for key, value in self._state.machines.items()}
        if before in names and before != machine:
            network.remove_address(network.netns_name(self._name, names[before]), address)
        if machine in names:
            netns = network.netns_name(self._name, names[machine])
            if (network.NETNS / netns).exists():
                network.add_address(netns, address)
            network.announce(self._name, names[machine], self._spec.bridge, [address])
        self._refresh_edge()

    def balance(self, balancers: Sequence[Balancer]) -> None:
        """Returns when the edge does as told."""
        with self._lock:
            self._state.balancers = tuple(balancers)
            self._save()
        self._refresh_edge()

    def add_key(self, access_key: str, secret_key: str, grants: Sequence[tuple[str, str]]) -> None:
        """In the lab's own object storage, which has to be there."""
        there = self._spaces()
        spaces.add_user(there, access_key, secret_key)
        for bucket, permission in grants:
            spaces.grant(there, bucket, access_key, permission)

    def remove_key(self, access_key: str) -> None:
        """Nothing where there is none."""
        spaces.remove_user(self._spaces(), access_key)

    @property
    def _spec(self) -> LabSpec:
        return Lab.open(self._name).spec

    def _host(self, machine: int) -> tuple[Lab, str]:
        with self._lock:
            known = self._state.machines.get(machine)
        if known is None:
            raise LabError(f"the lab has no machine {machine}")
        return Lab.open(self._name), known.name

    def _home(self, machine: Machine) -> Path:
        return self._directory / "hosts" / machine.name

    def _image(self, volume: str) -> Path:
        return self._directory / VOLUMES / f"{volume}.img"

    def _save(self) -> None:
        path = self._directory / STATE
        files.put(path.with_suffix(".new"), self._state.to_json(), mode=0o600)
        path.with_suffix(".new").replace(path)

    def _boot(self, machine: Machine) -> None:
        """As a host of the lab, which finds the metadata service at its first look."""
        self._refresh_edge()
        with self._lock:
            rules = self._state.firewalls[machine.id]
        instance = Instance(str(machine.id), machine.private, machine.user_data, machine.ssh_keys, rules)
        Lab.open(self._name).add_host(HostSpec(machine.name, machine.public, "", instance=instance), Progress())

    def _write_firewall(self, machine: Machine) -> None:
        path = self._home(machine) / FIREWALL
        files.put(path.with_suffix(".new"), self._state.firewalls[machine.id])
        path.with_suffix(".new").replace(path)

    def _write_attached(self, machine: int | None) -> None:
        known = self._state.machines.get(machine) if machine is not None else None
        if known is None or not self._home(known).is_dir():
            return
        volumes = sorted(volume for volume, owner in self._state.attached.items() if owner == machine)
        Attached(
            addresses=tuple(sorted(a for a, owner in self._state.reserved.items() if owner == machine)),
            disks=tuple(Disk(self._state.volumes[volume], str(self._image(volume))) for volume in volumes),
        ).write(self._home(known))

    def _take(self, volume: str, *, wait: bool = True) -> None:
        image = self._image(volume)
        disks.detach(image)
        if wait:
            disks.wait_detached(image)

    def _running_init(self, spec: LabSpec, host: str) -> int | None:
        """The host's PID 1, when it has begun; None where it has no power."""
        if cgroups.supervisor_of(spec.name, host) is None:
            return None
        hosts.wait_begun(spec.name, host, hosts.folder(spec, host))
        return cgroups.init_of(spec.name, host)

    def _refresh_edge(self) -> None:
        """Addresses and routes of the edge's namespace, then the edge; what is not wanted any more goes last."""
        spec = self._spec
        with self._lock:
            machines, balancers = list(self._state.machines.values()), self._state.balancers
            reserved = {owner: address for address, owner in self._state.reserved.items()}
            wanted = {METADATA, *(b.public for b in balancers), *(str(b.private.ip) for b in balancers)}
            networks = {str(m.private.network) for m in machines} | {str(b.private.network) for b in balancers}
            lines = [f"address replace {address}/32 dev eth0" for address in sorted(wanted)]
            lines += [f"route replace {network} dev eth0 scope link" for network in sorted(networks)]
            network.configure(spec.internet_netns, lines)
            subjects = tuple(
                metadata.Subject(
                    id=machine.id,
                    name=machine.name,
                    public=machine.public,
                    subnet=str(spec.subnet),
                    private=str(machine.private),
                    mac=network.mac(spec.name, machine.name),
                    nameserver=spec.internet,
                    user_data=machine.user_data,
                    ssh_keys=machine.ssh_keys,
                    reserved=reserved.get(machine.id),
                    region=machine.region,
                )
                for machine in machines
            )
            edge.ensure(self._directory, spec.internet_netns, edge.Config(balancers, subjects))
            there = network.addresses(spec.internet_netns)
            stale = sorted(there - wanted - {spec.internet})
            network.configure(spec.internet_netns, [f"address delete {address}/32 dev eth0" for address in stale])

    def _spaces(self) -> spaces.Spaces:
        there = spaces.load(self._directory)
        if there is None:
            raise LabError(f"lab {self._name} has no object storage yet: `seedbed rehearse` starts it")
        return there


def _make_filesystem(image: Path, filesystem: str) -> None:
    """Sparsely: what is not written takes no place."""
    if filesystem not in FILESYSTEMS:
        raise LabError(f"file system {filesystem!r} of a volume; there are {', '.join(FILESYSTEMS)}")
    if shutil.which(f"mkfs.{filesystem}") is None:
        ensure_packages([FILESYSTEMS[filesystem]], Progress())
    quick = ["-F", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"] if filesystem == "ext4" else ["-K"]
    shell.run(f"mkfs.{filesystem}", "-q", *quick, str(image), timeout=120)
