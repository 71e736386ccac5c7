"""What the lab's hypervisor remembers, and what it does where the lab cannot; the rest is in tests/lab."""

from collections.abc import Sequence
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

import pytest

from lab import LabError
from lab.cloud import hosts
from lab.cloud.firewall import render
from lab.cloud.hosts import STATE, LabHypervisor, State
from lab.cloud.hypervisor import Balancer, HealthCheck, Machine, OutOfCapacityError, Rule
from lab.spec import HostSpec, LabSpec
from tools.progress import Progress

CHECK = HealthCheck("tcp", 6443, "/", interval=3, timeout=5, unhealthy=3, healthy=2)
VPC = IPv4Network("10.20.0.0/24")


def machine(id: int, name: str) -> Machine:
    return Machine(
        id, name, f"10.77.0.{id}", IPv4Interface(f"10.20.0.{id}/24"), "", ("ssh-ed25519 AAAA",), 1024, 1, "fra1"
    )


class OneHostLab:
    """A lab that has no place for a second host."""

    def __init__(self, directory: Path) -> None:
        self.spec = LabSpec("dev", directory, IPv4Network("10.77.0.0/24"), "ssh-ed25519 AAAA")
        self.hosts: dict[str, HostSpec] = {}

    def add_host(self, host: HostSpec, progress: Progress) -> None:
        if self.hosts and host.name not in self.hosts:
            raise LabError("no place left")
        self.hosts[host.name] = host

    def remove_host(self, name: str) -> None:
        del self.hosts[name]

    def host_names(self) -> Sequence[str]:
        return list(self.hosts)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OneHostLab:
    lab = OneHostLab(tmp_path)
    monkeypatch.setattr(hosts.Lab, "open", lambda _: lab)
    monkeypatch.setattr(LabHypervisor, "_refresh_edge", lambda _: None)
    return lab


def test_what_is_remembered_comes_out_of_its_file_as_it_went_in() -> None:
    balancer = Balancer("lb", "10.77.0.3", IPv4Interface("10.20.0.9/24"), ((6443, 6443),), CHECK, ("10.20.0.20",))
    state = State(
        machines={20: machine(20, "a-1")},
        volumes={"v": "data"},
        attached={"v": 20},
        reserved={"10.77.0.200": 20},
        firewalls={20: render(None)},
        balancers=(balancer,),
    )
    assert State.from_json(state.to_json()) == state


def test_what_is_remembered_is_readable_by_root_alone(lab: OneHostLab, tmp_path: Path) -> None:
    LabHypervisor("dev", tmp_path).create(machine(20, "a-1"))
    assert (tmp_path / STATE).stat().st_mode & 0o777 == 0o600


def test_a_machine_that_finds_no_place_leaves_nothing_behind(lab: OneHostLab, tmp_path: Path) -> None:
    hypervisor = LabHypervisor("dev", tmp_path)
    hypervisor.create(machine(20, "a-1"))
    with pytest.raises(OutOfCapacityError, match="no place left"):
        hypervisor.create(machine(21, "b-1"))
    assert list(State.from_json((tmp_path / STATE).read_text()).machines) == [20]
    assert list(lab.hosts) == ["a-1"]


def test_a_name_that_no_host_can_have_finds_no_place(lab: OneHostLab, tmp_path: Path) -> None:
    with pytest.raises(OutOfCapacityError, match=r"host name 'web\.example\.org'"):
        LabHypervisor("dev", tmp_path).create(machine(20, "web.example.org"))


def test_a_machine_that_is_made_again_stays_though_the_lab_fails(lab: OneHostLab, tmp_path: Path) -> None:
    hypervisor = LabHypervisor("dev", tmp_path)
    hypervisor.create(machine(20, "a-1"))
    kept, lab.hosts = lab.hosts, {"other": lab.hosts["a-1"]}
    with pytest.raises(OutOfCapacityError):
        hypervisor.create(machine(20, "a-1"))
    lab.hosts = kept
    assert list(State.from_json((tmp_path / STATE).read_text()).machines) == [20]


def test_a_machine_boots_behind_the_firewall_that_was_said_before_it_was_made(lab: OneHostLab, tmp_path: Path) -> None:
    hypervisor = LabHypervisor("dev", tmp_path)
    rules = [Rule("tcp", (22, 22), (VPC,))]
    hypervisor.let_in(20, rules)
    hypervisor.create(machine(20, "a-1"))
    hypervisor.create(machine(20, "a-1"))
    instance = lab.hosts["a-1"].instance
    assert instance is not None
    assert (instance.id, instance.firewall) == ("20", render(rules))


def test_what_is_asked_of_a_machine_that_is_not_there_names_it(lab: OneHostLab, tmp_path: Path) -> None:
    hypervisor = LabHypervisor("dev", tmp_path)
    with pytest.raises(LabError, match="no machine 7"):
        hypervisor.power(7, on=True)
    hypervisor.destroy(7)
    hypervisor.detach(7, "v")
    assert not hypervisor.is_on(7)


def test_an_unknown_file_system_is_refused_and_no_volume_is_there(lab: OneHostLab, tmp_path: Path) -> None:
    hypervisor = LabHypervisor("dev", tmp_path)
    with pytest.raises(LabError, match="file system 'btrfs' of a volume; there are ext4, xfs"):
        hypervisor.make_volume("v", "data", 1, "btrfs")
    assert not (tmp_path / "cloud/volumes/v.img").exists()


def test_keys_of_an_object_storage_that_is_not_there_are_refused_with_the_remedy(
    lab: OneHostLab, tmp_path: Path
) -> None:
    with pytest.raises(LabError, match="no object storage yet"):
        LabHypervisor("dev", tmp_path).add_key("key", "secret", [])
