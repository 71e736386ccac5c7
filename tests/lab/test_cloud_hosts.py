"""The lab's cloud made real: what a droplet is told, who reaches it, and what outlives it."""

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

import pytest
import yaml

from lab import disks, network, stack_lab
from lab.cloud import edge
from lab.cloud.hosts import LabHypervisor
from lab.cloud.hypervisor import Balancer, HealthCheck, Machine, OutOfCapacityError, Rule
from lab.lab import Lab
from lab.spec import HostState
from tests.lab.conftest import LabFactory, new_key
from tools.progress import Progress

A, B = "web-a-1", "web-b-1"
IDS = {A: 101, B: 102}
VPC = IPv4Network("10.20.30.0/24")
VOLUME, VOLUME_NAME = "5a4981aa-9653-11f1-bd51-0a58ac14d008", "seedbed-test-data"
DEVICE = f"/dev/disk/by-id/scsi-0DO_Volume_{VOLUME_NAME}"
ANYWHERE = (IPv4Network("0.0.0.0/0"),)
PORT = 8080
CHECK = HealthCheck("http", PORT, "/", interval=1, timeout=1, unhealthy=2, healthy=2)
SERVE = f"""mkdir -p /srv && hostname > /srv/index.html && cd /srv
systemd-run --quiet --unit=web --working-directory=/srv python3 -m http.server {PORT}"""


@dataclass(frozen=True)
class Cloud:
    lab: Lab
    hypervisor: LabHypervisor
    machines: dict[str, Machine]

    def say(self, name: str, command: str) -> str:
        return self.lab.ssh(name, command, timeout=30).stdout.strip()

    def address(self, host: int) -> str:
        return str(self.lab.spec.subnet[host])


def user_data(private: str, public: str) -> str:
    keys = {"ed25519_private": private, "ed25519_public": public}
    told = {"ssh_deletekeys": True, "ssh_genkeytypes": [], "ssh_keys": keys, "ssh_pwauth": False}
    return "#cloud-config\n" + yaml.safe_dump(told, sort_keys=True)


@pytest.fixture(scope="module")
def cloud(lab_factory: LabFactory) -> Iterator[Cloud]:
    operator = new_key()
    lab = lab_factory(hosts=[], operator=operator)
    machines = {
        name: Machine(
            id=IDS[name],
            name=name,
            public=str(lab.spec.subnet[20 + place]),
            private=IPv4Interface(f"{VPC[10 + place]}/24"),
            user_data=user_data(*new_key()),
            ssh_keys=(operator[1],),
            memory_mib=1024,
            vcpus=1,
            region="fra1",
        )
        for place, name in enumerate((A, B))
    }
    hypervisor = LabHypervisor(lab.spec.name, lab.spec.directory)
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(hypervisor.create, machines.values()))
            list(pool.map(lab.wait_ready, machines))
            list(pool.map(lambda name: lab.ssh(name, SERVE), machines))
        yield Cloud(lab, hypervisor, machines)
    finally:
        stack_lab.down(lab.spec.name, lab.spec.directory, Progress())


def until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether it comes to be so: how long it takes is the machine's affair."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def opens(address: str, port: int) -> bool:
    """Whether a connection from this machine is taken."""
    try:
        socket.create_connection((address, port), timeout=0.7).close()
    except OSError:
        return False
    return True


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side ends it, after what it may still say."""
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


def page(address: str, port: int) -> str:
    """What a web server says; empty where it does not."""
    done = subprocess.run(["curl", "-s", "-m", "2", f"http://{address}:{port}/"], capture_output=True, text=True)
    return done.stdout.strip()


def test_a_droplet_is_what_its_user_data_and_keys_say_and_answers_with_the_pinned_key(cloud: Cloud) -> None:
    assert cloud.say(A, "hostname; cloud-init query instance_id") == f"{A}\n{IDS[A]}"
    assert cloud.say(A, "systemctl is-system-running --wait") == "running"
    pinned = yaml.safe_load(cloud.machines[A].user_data)["ssh_keys"]["ed25519_public"]
    assert f"{A},{cloud.machines[A].public} {pinned}\n" in cloud.lab.spec.known_hosts_file.read_text()
    assert cloud.say(A, "ls /etc/ssh/ssh_host_*_key") == "/etc/ssh/ssh_host_ed25519_key"
    assert cloud.say(A, "getent passwd debian || echo none") == "none"
    assert cloud.say(A, "modprobe overlay && echo ok") == "ok"


def test_a_droplet_has_its_two_addresses_and_reaches_its_neighbour_by_the_private_one(cloud: Cloud) -> None:
    shown = cloud.say(A, "ip -o -4 address show dev eth0 | awk '{print $4}'").split()
    assert shown == [f"{cloud.machines[A].public}/24", str(cloud.machines[A].private)]
    there = str(cloud.machines[B].private.ip)
    assert cloud.say(A, f"curl -s -m 5 http://{there}:{PORT}/") == B
    assert cloud.say(A, f"ip route get {there}").split()[:5] == [there, "dev", "eth0", "src", f"{VPC[10]}"]


def test_the_lab_shows_droplets_as_its_hosts(cloud: Cloud) -> None:
    assert [(host.name, host.state) for host in cloud.lab.status()] == [(A, HostState.RUNNING), (B, HostState.RUNNING)]


def test_the_metadata_service_tells_each_droplet_about_itself(cloud: Cloud) -> None:
    url = "http://169.254.169.254/metadata/v1"
    for name, machine in cloud.machines.items():
        ask = f"curl -s -m 5 {url}.json; echo; curl -s -m 5 --interface {machine.private.ip} {url}/id"
        told, by_private = cloud.say(name, ask).splitlines()
        assert (json.loads(told)["droplet_id"], json.loads(told)["hostname"]) == (machine.id, name)
        assert by_private == str(machine.id)
    assert cloud.say(A, f"curl -s -m 5 {url}/user-data") == cloud.machines[A].user_data.strip()


def reached(cloud: Cloud, name: str, *addresses: str) -> list[str]:
    """What of these addresses answers a host at 22, at 8080 and to ping, all asked at once."""
    script = "".join(
        f"(timeout 0.7 bash -c '</dev/tcp/{address}/{port}' 2>/dev/null && echo {address}:{port}) &\n"
        for address in addresses
        for port in (22, PORT)
    )
    script += "".join(f"(ping -c 1 -W 0.7 {address} >/dev/null && echo {address}) &\n" for address in addresses)
    return sorted(cloud.say(name, f"{script}wait").split())


@pytest.fixture
def walled(cloud: Cloud) -> Iterator[Cloud]:
    """A lets in SSH from this machine alone, and its neighbours in the VPC at 8080."""
    operator = IPv4Network(f"{cloud.lab.spec.gateway}/32")
    cloud.hypervisor.let_in(IDS[A], [Rule("tcp", (22, 22), (operator,)), Rule("tcp", (PORT, PORT), (VPC,))])
    yield cloud
    cloud.hypervisor.let_in(IDS[A], None)


def test_nothing_but_what_the_firewall_allows_reaches_a_droplet(walled: Cloud) -> None:
    public, private = walled.machines[A].public, str(walled.machines[A].private.ip)
    assert opens(public, 22)
    assert not opens(public, PORT)
    assert reached(walled, B, public, private) == [f"{private}:{PORT}"]
    # What it asks for itself comes back.
    assert walled.say(A, f"curl -s -m 5 http://{VPC[11]}:{PORT}/") == B


def test_pods_reach_each_other_over_droplets_that_let_vxlan_in_from_each_other(cloud: Cloud) -> None:
    cloud.say(A, "ip address add 10.42.7.7/32 dev lo")
    cloud.say(B, f"ip route add 10.42.7.0/24 via {VPC[10]}")
    reaches = f"curl -s -m 1 http://10.42.7.7:{PORT}/ || echo nothing"
    try:
        cloud.hypervisor.let_in(IDS[A], [Rule("tcp", (22, 22), ANYWHERE)])
        assert cloud.say(B, reaches) == "nothing"
        cloud.hypervisor.let_in(IDS[A], [Rule("tcp", (22, 22), ANYWHERE), Rule("udp", (8472, 8472), (VPC,))])
        assert cloud.say(B, reaches) == A
    finally:
        cloud.hypervisor.let_in(IDS[A], None)


def test_a_connection_that_was_open_before_the_firewall_came_stays_open(cloud: Cloud) -> None:
    with socket.create_connection((cloud.machines[A].public, 22), timeout=5) as connection:
        connection.recv(100)
        cloud.hypervisor.let_in(IDS[A], [])
        try:
            assert not opens(cloud.machines[A].public, 22)
            connection.sendall(b"SSH-2.0-still-here\r\n")
            assert connection.recv(100)
        finally:
            cloud.hypervisor.let_in(IDS[A], None)


def test_a_reserved_address_leads_to_one_droplet_after_the_other(cloud: Cloud) -> None:
    reserved = cloud.address(200)
    cloud.hypervisor.reserve(reserved, IDS[A])
    assert page(reserved, PORT) == A
    cloud.hypervisor.reserve(reserved, IDS[B])
    assert page(reserved, PORT) == B
    told = json.loads(cloud.say(B, "curl -s -m 5 http://169.254.169.254/metadata/v1.json"))
    assert told["reserved_ip"]["ipv4"] == {"active": True, "ip_address": reserved}
    cloud.hypervisor.reserve(reserved, None)
    assert not opens(reserved, PORT)


def balancer(cloud: Cloud, *backends: str) -> Balancer:
    addresses = tuple(str(cloud.machines[name].private.ip) for name in backends)
    return Balancer(
        "lb",
        cloud.address(3),
        IPv4Interface(f"{VPC[9]}/24"),
        ports=((80, PORT), (22, 22)),
        check=CHECK,
        backends=addresses,
    )


def test_the_load_balancer_follows_the_health_of_its_droplets(cloud: Cloud) -> None:
    there = cloud.address(3)
    directory = cloud.lab.spec.directory

    def healthy() -> list[str]:
        now = edge.status(directory)
        assert now
        return [name for name, machine in cloud.machines.items() if now.health["lb"].get(str(machine.private.ip))]

    cloud.hypervisor.balance([balancer(cloud, A, B)])
    assert until(lambda: healthy() == [A, B])
    assert {page(there, 80) for _ in range(4)} == {A, B}
    assert cloud.say(A, f"curl -s -m 5 http://{VPC[9]}/") in (A, B)  # by its address in the VPC too
    log = cloud.say(A, "journalctl -u web -o cat --no-pager")
    assert f"{VPC[9]} - -" in log
    assert there not in log

    # A connection that is open goes on while the balancer is changed, and ends when its droplet is no more healthy.
    cloud.hypervisor.balance([balancer(cloud, A)])
    with socket.create_connection((there, 22), timeout=5) as connection:
        assert connection.recv(4) == b"SSH-"
        cloud.hypervisor.balance([balancer(cloud, A, B)])
        connection.sendall(b"SSH-2.0-still-here\r\n")
        assert connection.recv(100)
        cloud.say(A, "systemctl stop web")
        assert until(lambda: healthy() == [B])
        connection.settimeout(5)
        assert is_closed(connection)
    assert {page(there, 80) for _ in range(4)} == {B}

    cloud.hypervisor.balance([balancer(cloud, A)])
    with socket.create_connection((there, 80), timeout=5) as connection:
        assert is_closed(connection)
    cloud.say(A, SERVE)
    assert until(lambda: healthy() == [A])
    assert page(there, 80) == A
    cloud.hypervisor.balance([])
    assert not opens(there, 80)


def test_a_second_machine_of_the_same_name_finds_no_place_and_leaves_the_first_alone(cloud: Cloud) -> None:
    with pytest.raises(OutOfCapacityError, match=f"a machine {A} already"):
        cloud.hypervisor.create(replace(cloud.machines[A], id=999))
    assert cloud.hypervisor.is_on(IDS[A])
    assert not cloud.hypervisor.is_on(999)


def test_a_volume_that_is_pulled_while_it_is_written_to_fails_its_users_and_keeps_what_was_synced(cloud: Cloud) -> None:
    cloud.hypervisor.make_volume("pulled", "pulled", 1, "ext4")
    cloud.hypervisor.attach(IDS[B], "pulled", "pulled")
    cloud.say(
        B, "mkdir -p /mnt/p && mount /dev/disk/by-id/scsi-0DO_Volume_pulled /mnt/p && echo kept > /mnt/p/kept && sync"
    )
    cloud.hypervisor.detach(IDS[B], "pulled")
    assert cloud.lab.ssh(B, "echo lost > /mnt/p/lost", check=False).returncode != 0
    assert cloud.say(B, "ls /dev/disk/by-id") == ""
    cloud.hypervisor.attach(IDS[A], "pulled", "pulled")
    cloud.say(A, "mkdir -p /mnt/p && mount /dev/disk/by-id/scsi-0DO_Volume_pulled /mnt/p")
    assert cloud.say(A, "ls -I lost+found /mnt/p; cat /mnt/p/kept; umount /mnt/p") == "kept\nkept"
    cloud.hypervisor.remove_volume("pulled")
    cloud.say(B, "umount /mnt/p")
    images = [loop.image for loop in disks.loops()]
    assert cloud.lab.spec.directory / "cloud/volumes/pulled.img" not in images


def test_a_power_cut_takes_nothing_that_the_cloud_has_given_and_the_firewall_is_up_before_the_machine(
    walled: Cloud,
) -> None:
    hypervisor, reserved = walled.hypervisor, walled.address(200)
    hypervisor.make_volume(VOLUME, VOLUME_NAME, 1, "ext4")
    hypervisor.attach(IDS[A], VOLUME, VOLUME_NAME)
    walled.say(A, f"mkdir -p /mnt/d && mount {DEVICE} /mnt/d && echo mine > /mnt/d/file && sync")
    hypervisor.reserve(reserved, IDS[A])
    hypervisor.grow_volume(VOLUME, 2)
    walled.lab.cut(A)
    assert not hypervisor.is_on(IDS[A])
    hypervisor.power(IDS[A], on=True)
    netns = network.netns_name(walled.lab.spec.name, A)
    rules = subprocess.run(network.run_in(netns, "nft", "list", "ruleset"), capture_output=True, text=True, timeout=10)
    assert "tcp dport 22 accept" in rules.stdout  # systemd has begun, and sshd has not
    walled.lab.wait_ssh(A)
    assert walled.say(A, f"blockdev --getsize64 {DEVICE}; mount {DEVICE} /mnt/d; cat /mnt/d/file") == f"{2 << 30}\nmine"
    assert opens(reserved, 22)
    assert reached(walled, B, reserved, walled.machines[A].public) == []
    walled.say(A, SERVE)


def test_a_volume_survives_its_droplet_and_is_found_again_by_its_name(cloud: Cloud) -> None:
    cloud.hypervisor.destroy(IDS[A])
    cloud.hypervisor.destroy(IDS[A])
    assert cloud.lab.host_names() == [B]
    assert A not in cloud.lab.spec.known_hosts_file.read_text()
    # Another hypervisor in its folder, as after a restart of the API, knows of it all.
    LabHypervisor(cloud.lab.spec.name, cloud.lab.spec.directory).attach(IDS[B], VOLUME, VOLUME_NAME)
    assert cloud.say(B, f"mkdir -p /mnt/d && mount {DEVICE} /mnt/d && cat /mnt/d/file") == "mine"


def test_after_down_nothing_of_the_cloud_is_left(cloud: Cloud) -> None:
    spec = cloud.lab.spec
    assert edge.status(spec.directory)
    assert any(loop.image.is_relative_to(spec.directory) for loop in disks.loops())
    stack_lab.down(spec.name, spec.directory, Progress())
    assert not any(loop.image.is_relative_to(spec.directory) for loop in disks.loops())
    assert str(spec.directory) not in Path("/proc/self/mountinfo").read_text()
    assert list(network.NETNS.glob(f"sb-{spec.name}-*")) == []
    assert subprocess.run(["pgrep", "-f", str(spec.directory)], capture_output=True, text=True).stdout == ""
    assert not spec.directory.exists()
