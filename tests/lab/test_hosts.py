"""Real hosts: what they are when they are new, what can happen to them, and how they come back."""

import datetime
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab import LabError, network
from lab.lab import Lab
from lab.spec import HostSpec, HostState
from tests.lab.conftest import LabFactory, host_specs, new_key, new_spec
from tools.progress import Progress

A, B = "alpha-1", "beta-1"


def new_authority() -> str:
    """A certificate authority of its own, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Seedbed Test CA")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


AUTHORITY = new_authority()


@pytest.fixture(scope="module")
def keys() -> dict[str, str]:
    return {A: new_key()[0], B: new_key()[0]}


@pytest.fixture(scope="module")
def pair(lab_factory: LabFactory, keys: dict[str, str]) -> Lab:
    return lab_factory(hosts=[A, B], host_key=keys.__getitem__, ca_certificates=[AUTHORITY])


@pytest.fixture
def lab(pair: Lab) -> Iterator[Lab]:
    """The two hosts, running and whole before the test and after it."""
    yield pair
    for name in (A, B):
        pair.thaw(name)
        pair.heal(name)
        pair.power_on(name)
    for name in (A, B):
        pair.wait_ssh(name)


def state(lab: Lab, name: str) -> HostState:
    return next(host.state for host in lab.status() if host.name == name)


def say(lab: Lab, host: str, command: str) -> str:
    return lab.ssh(host, command, timeout=30).stdout.strip()


def address(lab: Lab, name: str) -> str:
    return next(host.address for host in lab.status() if host.name == name)


def reaches(lab: Lab, host: str, target: str, tries: int = 5) -> bool:
    """Whether one of some pings is answered: just after `heal` a host may still hold the target to be nobody's."""
    ping = f"for try in $(seq {tries}); do ping -c 1 -W 1 {target} >/dev/null && exit 0; done; exit 1"
    return lab.ssh(host, ping, check=False).returncode == 0


def answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=1) as connection:
            return bool(connection.recv(4))
    except OSError:
        return False


def test_a_new_host_is_a_bare_debian_that_booted_without_a_failure(lab: Lab) -> None:
    assert say(lab, A, "systemctl is-system-running --wait") == "running"
    assert say(lab, A, "hostname; . /etc/os-release; echo $VERSION_CODENAME") == f"{A}\nbookworm"
    assert say(lab, A, "ps -p 1 -o comm=") == "systemd"
    assert say(lab, A, "systemctl is-active containerd docker || true") == "inactive\ninactive"
    assert say(lab, A, f"getent hosts {A} >/dev/null && cat /etc/resolv.conf") == f"nameserver {lab.spec.internet}"


def test_status_tells_of_every_host(lab: Lab) -> None:
    one, two = lab.status()
    assert (one.name, one.address, one.state) == (A, str(lab.spec.subnet[11]), HostState.RUNNING)
    assert (two.name, two.address, two.state) == (B, str(lab.spec.subnet[12]), HostState.RUNNING)
    assert one.pid
    assert Path(f"/proc/{one.pid}/comm").read_text() == "systemd\n"
    assert one.uptime
    assert one.memory_bytes
    assert 1 << 20 < one.memory_bytes < 500 << 20


def test_a_host_with_another_host_key_is_refused(lab: Lab) -> None:
    pinned = lab.spec.known_hosts_file.read_text()
    a, b = (line.split()[2] for line in pinned.splitlines())
    lab.spec.known_hosts_file.write_text(pinned.replace(a, "x").replace(b, a).replace("x", b))
    try:
        with pytest.raises(LabError, match=f"{A} at .* another host key"):
            lab.wait_ssh(A, timeout=20)
    finally:
        lab.spec.known_hosts_file.write_text(pinned)


def test_the_operator_key_is_readable_by_root_alone(lab: Lab) -> None:
    assert lab.spec.operator_key_file.stat().st_mode & 0o777 == 0o600
    assert lab.spec.directory.stat().st_mode & 0o777 == 0o700


def test_a_host_cannot_change_the_machines_kernel_settings_but_its_own_network(lab: Lab) -> None:
    before = Path("/proc/sys/vm/swappiness").read_text()
    assert lab.ssh(A, "sysctl -w vm.swappiness=61", check=False).returncode != 0
    assert Path("/proc/sys/vm/swappiness").read_text() == before
    assert say(lab, A, "sysctl -n net.ipv4.conf.eth0.rp_filter; sysctl -qw net.ipv4.conf.all.rp_filter=2") != ""
    assert say(lab, A, "sysctl -n net.ipv4.conf.all.rp_filter") == "2"
    assert say(lab, B, "sysctl -n net.ipv4.conf.all.rp_filter") != "2"


def test_what_kubernetes_needs_of_the_kernel_is_there(lab: Lab) -> None:
    assert say(lab, A, "modprobe br_netfilter && modprobe overlay && echo ok") == "ok"
    assert say(lab, A, "sysctl -n vm.overcommit_memory kernel.panic kernel.panic_on_oops").split() == ["1", "10", "1"]
    assert int(say(lab, A, "sysctl -n fs.inotify.max_user_instances")) >= 8192
    # Container runtimes make overlays there, and an overlay does not lie on an overlay.
    kinds = say(lab, A, "stat -f -c %T /var/lib/rancher /var/lib/kubelet /var/lib/containerd /var/lib/docker").split()
    assert len(kinds) == 4
    assert "overlayfs" not in kinds
    assert say(lab, A, "findmnt -no PROPAGATION /") == "shared"
    assert (
        say(lab, A, "mkdir $(dirname $(find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs | head -1))/x && echo ok")
        == "ok"
    )
    assert say(lab, A, "cat /proc/1/cgroup | grep -c seedbed || true") == "0"


def test_hosts_reach_each_other_and_what_is_outside_under_the_machines_address(lab: Lab) -> None:
    assert reaches(lab, A, address(lab, B))
    # The outside: one more namespace, which knows the way to this machine's end of the wire and no other.
    name, link = f"{lab.spec.name}out", f"{lab.spec.name}o"
    setup = f"""netns add {name}
link add {link} type veth peer name eth0 netns {name}
address add 198.51.100.1/30 dev {link}
link set {link} up"""
    try:
        subprocess.run(["ip", "-batch", "-"], input=setup, text=True, check=True, timeout=10)
        inside = "address add 198.51.100.2/30 dev eth0\nlink set eth0 up\n"
        subprocess.run(["ip", "-netns", name, "-batch", "-"], input=inside, text=True, check=True, timeout=10)
        assert reaches(lab, A, "198.51.100.2")
    finally:
        subprocess.run(["ip", "link", "delete", link], check=False, timeout=10)
        subprocess.run(["ip", "netns", "delete", name], check=False, timeout=10)


def test_a_host_trusts_the_labs_authority_by_file_and_by_folder(lab: Lab) -> None:
    leaf = "/root/ca.pem"
    for option in ("-CAfile /etc/ssl/certs/ca-certificates.crt -no-CApath", "-CApath /etc/ssl/certs -no-CAfile"):
        lab.ssh(A, f"cat > {leaf} && openssl verify {option} {leaf}", stdin=AUTHORITY)
        # Run as a person would who adds one more: what the lab put there stays.
        lab.ssh(A, "update-ca-certificates")


def test_the_small_internets_namespace_is_where_hosts_look_for_it(lab: Lab) -> None:
    inside = network.run_in(lab.spec.internet_netns, "ip", "-4", "-brief", "address", "show", "dev", "eth0")
    shown = subprocess.run(inside, capture_output=True, text=True, timeout=10, check=True).stdout
    assert shown.split()[2] == f"{lab.spec.internet}/24"
    assert reaches(lab, A, lab.spec.internet)


def test_a_power_cut_says_goodbye_to_nobody_and_the_host_comes_back_with_its_disk(lab: Lab) -> None:
    say(lab, A, "echo kept > /root/kept && sync")
    boot = say(lab, A, "cat /proc/sys/kernel/random/boot_id")
    with socket.create_connection((address(lab, A), 22), timeout=5) as connection:
        connection.recv(100)
        assert lab.cut(A)
        connection.settimeout(1)
        with pytest.raises(TimeoutError):
            connection.recv(100)
    assert state(lab, A) is HostState.CUT
    assert not answers(address(lab, A))
    assert lab.cut(A) is False
    with pytest.raises(LabError, match=f"{A} is cut: `seedbed lab power-on {A}`"):
        lab.freeze(A)
    assert lab.power_on(A)
    assert lab.power_on(A) is False
    lab.wait_ready(A)
    assert say(lab, A, "cat /root/kept") == "kept"
    assert say(lab, A, "cat /proc/sys/kernel/random/boot_id") != boot
    assert state(lab, A) is HostState.RUNNING


def test_a_rebooted_host_has_a_new_boot_id_and_the_network_of_a_fresh_boot(lab: Lab) -> None:
    before = say(lab, A, "cat /proc/sys/kernel/random/boot_id; cat /sys/class/net/eth0/address")
    say(lab, A, "iptables -A INPUT -s 192.0.2.99 -j DROP")
    assert lab.reboot(A)
    lab.wait_ready(A)
    after = say(lab, A, "cat /proc/sys/kernel/random/boot_id; cat /sys/class/net/eth0/address")
    assert after.split()[0] != before.split()[0]
    assert after.split()[1] == before.split()[1]
    assert "192.0.2.99" not in say(lab, A, "iptables -S INPUT")


def test_a_host_that_powers_itself_off_is_stopped_and_can_be_powered_on(lab: Lab) -> None:
    lab.ssh(A, "systemctl poweroff", check=False)
    for _ in range(300):
        if state(lab, A) is HostState.STOPPED:
            break
        subprocess.run(["sleep", "0.1"], check=True)
    assert state(lab, A) is HostState.STOPPED
    assert lab.power_on(A)
    lab.wait_ssh(A)


def test_a_frozen_host_says_nothing_until_it_is_thawed(lab: Lab) -> None:
    assert lab.freeze(A)
    assert lab.freeze(A) is False
    assert state(lab, A) is HostState.FROZEN
    assert not answers(address(lab, A))
    with pytest.raises(LabError, match=f"frozen.*`seedbed lab thaw {A}`"):
        lab.power_on(A)
    assert lab.thaw(A)
    assert lab.thaw(A) is False
    lab.wait_ssh(A)


def test_a_frozen_host_can_be_cut(lab: Lab) -> None:
    lab.freeze(A)
    assert lab.cut(A)
    assert state(lab, A) is HostState.CUT


def test_a_partition_of_two_hosts_leaves_each_its_way_to_all_others(lab: Lab) -> None:
    assert lab.partition(A, B)
    assert lab.partition(B, A) is False
    assert not reaches(lab, A, address(lab, B), tries=1)
    assert not reaches(lab, B, address(lab, A), tries=1)
    assert reaches(lab, A, lab.spec.internet)
    assert state(lab, A) is HostState.PARTITIONED
    assert lab.heal(A, B)
    assert lab.heal(A, B) is False
    assert reaches(lab, A, address(lab, B))


def test_a_partition_outlasts_a_reboot(lab: Lab) -> None:
    lab.partition(A, B)
    lab.reboot(A)
    lab.wait_ssh(A)
    assert not reaches(lab, A, address(lab, B), tries=1)


def test_a_host_partitioned_from_everything_keeps_its_link_and_answers_nobody(lab: Lab) -> None:
    assert lab.partition(A)
    assert not answers(address(lab, A))
    assert not reaches(lab, B, address(lab, A), tries=1)
    assert lab.heal(A)
    lab.wait_ssh(A)
    assert "NO-CARRIER" not in say(lab, A, "journalctl -b -k --no-pager | tail -5; ip link show eth0")


def test_a_slow_link_is_slow_in_both_directions_until_healed(lab: Lab) -> None:
    shaped = "tc qdisc show dev eth0"
    assert lab.slow(A, 1_000_000)
    assert "tbf" in say(lab, A, shaped)
    outer = subprocess.run(
        ["tc", "qdisc", "show", "dev", network.link_name(lab.spec.name, A)],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    assert "rate 1Mbit" in outer.stdout
    assert lab.heal(A)
    assert "tbf" not in say(lab, A, shaped)


def test_an_unknown_host_is_answered_with_the_nearest_name(lab: Lab) -> None:
    with pytest.raises(LabError, match=f"no host 'alhpa-1'; did you mean {A}"):
        lab.cut("alhpa-1")
    with pytest.raises(LabError, match=f"no host 'zzz'; it has {A}, {B}"):
        lab.partition(A, "zzz")


def test_a_host_whose_supervisor_was_killed_ends_with_it_and_starts_again(lab: Lab) -> None:
    from lab import cgroups

    supervisor = cgroups.supervisor_of(lab.spec.name, A)
    assert supervisor
    Path(f"/proc/{supervisor}/cmdline").read_text().index("lab.supervisor")
    subprocess.run(["kill", "-9", str(supervisor)], check=True)
    for _ in range(100):
        if state(lab, A) is HostState.STOPPED:
            break
        subprocess.run(["sleep", "0.1"], check=True)
    assert state(lab, A) is HostState.STOPPED
    assert lab.power_on(A)
    lab.wait_ssh(A)


def test_ensure_starts_what_is_missing_and_leaves_what_runs(lab: Lab, keys: dict[str, str]) -> None:
    running = next(host.pid for host in lab.status() if host.name == B)
    lab.cut(A)
    small = HostSpec("small-1", str(lab.spec.subnet[50]), new_key()[0], memory_bytes=192 << 20, cpus=0.5)
    wanted = host_specs(lab.spec.subnet, [A, B], keys.__getitem__)
    Lab.ensure(lab.spec, [*wanted, small], Progress())
    try:
        assert [host.state for host in lab.status()] == [HostState.RUNNING] * 3
        assert next(host.pid for host in lab.status() if host.name == B) == running
        lab.wait_ready("small-1")
        # The limit is the host's own: what wants more is killed there.
        hungry = "python3 -c 'print(len(bytearray(400 << 20)))'"
        assert lab.ssh("small-1", hungry, check=False).stdout == ""
        assert say(lab, B, hungry) == str(400 << 20)
        assert say(lab, "small-1", "echo up") == "up"
    finally:
        lab.remove_host("small-1")
    assert [host.name for host in lab.status()] == [A, B]
    assert "small-1" not in lab.spec.known_hosts_file.read_text()


def test_ensure_refuses_what_would_be_another_host_or_lab(lab: Lab, keys: dict[str, str], tmp_path: Path) -> None:
    a, _ = host_specs(lab.spec.subnet, [A, B], keys.__getitem__)
    moved = str(lab.spec.subnet[77])
    for host, complaint in (
        (replace(a, address=moved), f"has the address .*, not {moved}"),
        (replace(a, host_key_private=new_key()[0]), "has the host key"),
        (HostSpec("gamma-1", address(lab, A), a.host_key_private), f"{A} and gamma-1 have the same address"),
        (HostSpec("gamma-1", "10.1.2.3", a.host_key_private), r"10\.1\.2\.3 is outside"),
    ):
        with pytest.raises(LabError, match=complaint):
            Lab.ensure(lab.spec, [host], Progress())
    with pytest.raises(LabError, match=f"belongs to {lab.spec.directory}, not to .*seedbed lab down"):
        Lab.ensure(replace(lab.spec, directory=tmp_path), [], Progress())
    with pytest.raises(LabError, match=f"belongs to lab '{lab.spec.name}' in {lab.spec.directory}"):
        Lab.ensure(replace(new_spec(), subnet=lab.spec.subnet, directory=tmp_path), [], Progress())


def test_a_lab_is_found_by_its_name(lab: Lab) -> None:
    assert [host.name for host in Lab.open(lab.spec.name).status()] == [A, B]
    with pytest.raises(LabError, match="no lab 'nosuch'"):
        Lab.open("nosuch")
