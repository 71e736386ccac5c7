"""The wires of a lab: its bridge, the links and namespaces of its hosts, and the way out for them."""

import hashlib
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterable
from pathlib import Path

from lab import machine, shell
from lab.spec import LabSpec

NETNS = Path("/run/netns")
END_SECONDS = 5.0
CLUSTER_NETWORKS = ("10.42.0.0/16", "10.43.0.0/16")
"""The networks of pods and services that k3s makes where it is not told others."""

LINK_LOCAL = "169.254.0.0/16"
"""Routers keep it on the link (RFC 3927, 7): else a host would ask the cloud of this machine what it is."""

ETHERTYPE_ARP = 0x0806


def netns_name(lab: str, host: str) -> str:
    """The network namespace of a host."""
    return f"sb-{lab}-{host}"


def link_name(lab: str, host: str) -> str:
    """The host's link as this machine sees it; the kernel allows 15 characters, a host's name has 63."""
    return "sbv" + hashlib.sha256(f"{lab}/{host}".encode()).hexdigest()[:10]


def alias(lab: str, host: str) -> str:
    """What ``ip link`` shows beside that name, and what removal finds links by."""
    return f"seedbed:{lab}:{host}"


def mac(lab: str, host: str) -> str:
    """The host's hardware address: the same at every boot, and locally administered."""
    digits = hashlib.sha256(f"{lab}/{host}".encode()).hexdigest()[:10]
    return "02:" + ":".join(digits[i : i + 2] for i in range(0, 10, 2))


def run_in(netns: str, *argv: str) -> list[str]:
    """The argv that runs ``argv`` in the network namespace ``netns``, and else where this process is."""
    return ["nsenter", f"--net={NETNS / netns}", *argv]


def up(spec: LabSpec) -> None:
    """Make what is missing of the lab's bridge, its way out, and the small internet's namespace.

    Call with the machine's lock held.
    """
    lab = spec.name
    if not NETNS.exists():
        _made_netns().touch()
    if not _exists(spec.bridge):
        # The fixed address keeps the bridge from taking a port's, which comes and goes with its host.
        shell.run(*f"ip link add {spec.bridge} mtu {outer_mtu()} address {mac(lab, '')} type bridge".split())
    shell.ip_batch(
        [
            f"link set {spec.bridge} alias {alias(lab, '')} addrgenmode none",
            f"address replace {spec.gateway}/{spec.subnet.prefixlen} dev {spec.bridge}",
            f"link set {spec.bridge} up",
        ]
    )
    if shell.attempt("nft", "list", "table", "ip", _table(lab)).returncode != 0:
        shell.run("nft", "-f", "-", stdin=masquerade(spec))
    _let_forward(spec)
    if not (NETNS / spec.internet_netns).exists() or not _exists(link_name(lab, "inet")):
        plug(lab, "inet", spec.bridge, netns=spec.internet_netns)
    inside = [
        "link set lo up",
        f"address replace {spec.internet}/{spec.subnet.prefixlen} dev eth0",
        "link set eth0 up",
        f"route replace default via {spec.gateway}",
    ]
    configure(spec.internet_netns, inside)


def masquerade(spec: LabSpec) -> str:
    """The nft table by which the lab's hosts reach what is outside, under this machine's address.

    What is for a cluster's pods and services stays inside: before a host's own rules for a new service are there, its
    packets take the default route, and where this machine's way out answers for any address, it would for the service.
    What stays on the bridge keeps its address: netfilter sees it too where ``bridge-nf-call-iptables`` is set.
    """
    inside = ", ".join((*CLUSTER_NETWORKS, LINK_LOCAL))
    return (
        f"table ip {_table(spec.name)} {{\n chain postrouting {{\n"
        "  type nat hook postrouting priority srcnat; policy accept;\n"
        f'  oifname != "{spec.bridge}" ip saddr {spec.subnet} ip daddr != {spec.subnet} masquerade\n }}\n'
        " chain forward {\n"
        "  type filter hook forward priority filter; policy accept;\n"
        f'  iifname "{spec.bridge}" oifname != "{spec.bridge}" ip daddr {{ {inside} }} drop\n }}\n}}\n'
    )


def _let_forward(spec: LabSpec) -> None:
    """Let the bridge's frames pass where this machine forwards nothing by default, as beside Docker or ufw.

    An accepting rule of a table of our own would not do: a packet is dropped where any table drops it.
    """
    if not _forwards_nothing():
        return
    tag = ["-m", "comment", "--comment", alias(spec.name, ""), "-j", "ACCEPT"]
    for direction in ("-i", "-o"):
        if shell.attempt("iptables", "-w", "-C", "FORWARD", direction, spec.bridge, *tag).returncode != 0:
            shell.run("iptables", "-w", "-I", "FORWARD", direction, spec.bridge, *tag)


def _forwards_nothing() -> bool:
    """Whether iptables drops by default; without iptables there is neither Docker nor ufw."""
    if shutil.which("iptables") is None:
        return False
    answer = shell.attempt("iptables", "-w", "-S", "FORWARD")
    return answer.returncode == 0 and "-P FORWARD ACCEPT" not in answer.stdout


def _let_forward_no_more(lab: str) -> None:
    if shutil.which("iptables") is None:
        return
    for line in shell.attempt("iptables", "-w", "-S", "FORWARD").stdout.splitlines():
        words = [word.strip('"') for word in line.split()]
        if words[0] == "-A" and alias(lab, "") in words:
            shell.attempt("iptables", "-w", "-D", *words[1:])


def plug(lab: str, host: str, bridge: str, netns: str | None = None) -> None:
    """A new namespace with an ``eth0`` in it that hangs on the bridge; an old one goes, with all settings in it."""
    netns = netns or netns_name(lab, host)
    unplug(lab, host, netns)
    mtu = (Path("/sys/class/net") / bridge / "mtu").read_text().strip()
    outer = link_name(lab, host)
    shell.ip_batch(
        [
            f"netns add {netns}",
            f"link add {outer} mtu {mtu} type veth peer name eth0 mtu {mtu} address {mac(lab, host)} netns {netns}",
            f"link set {outer} alias {alias(lab, host)} addrgenmode none master {bridge} up",
        ]
    )


def unplug(lab: str, host: str, netns: str | None = None) -> None:
    """Remove a host's link and namespace, where there are any."""
    if _exists(link_name(lab, host)):
        shell.attempt("ip", "link", "delete", link_name(lab, host))
    netns = netns or netns_name(lab, host)
    if (NETNS / netns).exists():
        shell.run("ip", "netns", "delete", netns)


def configure(netns: str, lines: Iterable[str]) -> None:
    """Several commands of iproute2's ``ip`` in a namespace; the first that fails ends it."""
    text = "".join(f"{line}\n" for line in lines)
    if text:
        shell.run("ip", "-netns", netns, "-batch", "-", stdin=text)


def addresses(netns: str) -> set[str]:
    """The IPv4 addresses of a namespace's ``eth0``."""
    shown = json.loads(shell.run("ip", "-netns", netns, "-json", "-4", "address", "show", "dev", "eth0"))
    return {entry["local"] for link in shown for entry in link["addr_info"]}


def add_address(netns: str, address: str) -> None:
    """Have an address lead to a host beside its own.

    It is on ``lo``: Linux answers for it on every link, and systemd-networkd removes what it did not put on ``eth0``.
    """
    shell.run("ip", "-netns", netns, "address", "replace", f"{address}/32", "dev", "lo")


def remove_address(netns: str, address: str) -> None:
    """Undo ``add_address``; nothing where the host does not have it."""
    shell.attempt("ip", "-netns", netns, "address", "delete", f"{address}/32", "dev", "lo")


def announce(lab: str, host: str, bridge: str, addresses: Iterable[str]) -> None:
    """Tell everybody on the bridge that these addresses are now the host's: another may have had them before.

    A gratuitous ARP request (RFC 5227, 3), sent on the host's behalf, so that it need not run yet.
    """
    hardware = bytes.fromhex(mac(lab, host).replace(":", ""))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((bridge, 0))
        for address in addresses:
            wire.send(_gratuitous_arp(hardware, socket.inet_aton(address)))
            shell.attempt("ip", "neighbour", "flush", "to", address, "dev", bridge)  # the bridge does not hear itself


def _gratuitous_arp(hardware: bytes, address: bytes) -> bytes:
    everybody = b"\xff" * 6
    kind = bytes.fromhex("0001080006040001")  # Ethernet, IPv4, lengths of their addresses, request
    return everybody + hardware + ETHERTYPE_ARP.to_bytes(2) + kind + hardware + address + bytes(6) + address


def set_link(lab: str, host: str, state: str) -> None:
    """Set the link of a host ``up`` or ``down``; nothing where it has none."""
    if _exists(link_name(lab, host)):
        shell.run("ip", "link", "set", link_name(lab, host), state)


def down(lab: str) -> None:
    """Remove every namespace, link, table and rule of the lab, with the processes in its namespaces."""
    namespaces = [path.name for path in NETNS.glob(f"sb-{lab}-*")]
    for netns in namespaces:
        _end_processes(netns)
    for path in Path("/sys/class/net").iterdir():
        try:
            ours = (path / "ifalias").read_text().startswith(f"seedbed:{lab}:")
        except OSError:
            continue  # gone with its other end
        if ours or path.name == f"sb-{lab}":
            shell.attempt("ip", "link", "delete", path.name)
    for netns in namespaces:
        shell.attempt("ip", "netns", "delete", netns)
    if shutil.which("nft") is not None:
        for family in ("ip", "bridge"):
            shell.attempt("nft", "delete", "table", family, _table(lab))
    _let_forward_no_more(lab)


def forget_namespaces() -> None:
    """Undo what our first ``ip netns add`` did to ``/run/netns``, where no namespace is left in it.

    iproute2 makes the folder and mounts it on itself. Source: iproute2, ip/ipnetns.c, netns_add.
    """
    if _made_netns().exists() and NETNS.is_dir() and not any(NETNS.iterdir()):
        while _is_mounted(NETNS) and shell.attempt("umount", str(NETNS)).returncode == 0:
            pass
        if not _is_mounted(NETNS):
            NETNS.rmdir()


def _made_netns() -> Path:
    """The note that ``/run/netns`` was not there before the first lab."""
    return machine.NOTES / "made-netns"


def _is_mounted(path: Path) -> bool:
    """``os.path.ismount`` does not see a folder that is mounted on itself."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split()[4] == str(path) for line in mounts)


def _end_processes(netns: str) -> None:
    """End what runs in a namespace: the lab made it, so what is in it is the lab's."""
    deadline = time.monotonic() + END_SECONDS
    how = signal.SIGTERM
    while pids := [int(pid) for pid in shell.attempt("ip", "netns", "pids", netns).stdout.split()]:
        for pid in pids:
            try:
                os.kill(pid, how)
            except ProcessLookupError:
                continue
        time.sleep(0.05)
        if time.monotonic() > deadline:
            if how == signal.SIGKILL:
                return
            how, deadline = signal.SIGKILL, time.monotonic() + END_SECONDS


def outer_mtu() -> int:
    """The MTU of this machine's way out: a larger one in the lab would lose packets that may not be split."""
    routes = json.loads(shell.run("ip", "-json", "-4", "route", "show", "default"))
    path = Path("/sys/class/net") / (routes[0].get("dev", "") if routes else "lo") / "mtu"
    return min(int(path.read_text()), 1500) if path.exists() else 1500


def _table(lab: str) -> str:
    return f"seedbed_{lab}"


def _exists(link: str) -> bool:
    return (Path("/sys/class/net") / link).exists()
