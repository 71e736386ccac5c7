"""What can happen to a host: power cuts, reboots, hangs, partitions, slow links.

Each gives back whether it changed anything: what is already so is no error.
"""

import json
import os
import signal
import time

from lab import LabError, cgroups, hosts, machine, network, shell
from lab.spec import HostState, LabSpec
from lab.status import cuts, state

REBOOT_SECONDS = 120.0
REBOOT_SIGNAL = signal.SIGRTMIN + 5
"""What makes systemd start reboot.target. Source: systemd(1), SIGNALS."""


def cut(spec: LabSpec, host: str) -> bool:
    """Power cut. What was not synced is not lost: the page cache is this machine's."""
    if state(spec, host) in (HostState.CUT, HostState.STOPPED):
        return False
    hosts.stop(spec.name, host)
    (hosts.folder(spec, host) / hosts.POWER).write_text(HostState.CUT)
    return True


def power_on(spec: LabSpec, host: str) -> bool:
    """Start a host that was cut, or powered itself off."""
    if state(spec, host) is HostState.FROZEN:
        raise LabError(f"host {host} is frozen, which no power button helps: `seedbed lab thaw {host}`")
    return hosts.start(spec, host)


def reboot(spec: LabSpec, host: str) -> bool:
    """A clean reboot; returns when the next boot has begun."""
    _need_running(spec, host)
    boot_id = hosts.folder(spec, host) / "boot_id"
    before, pid = boot_id.read_text(), cgroups.init_of(spec.name, host)
    if pid is not None:
        os.kill(pid, REBOOT_SIGNAL)
    deadline = time.monotonic() + REBOOT_SECONDS
    while boot_id.read_text() == before or not hosts.has_begun(spec.name, host):
        if time.monotonic() > deadline:
            raise LabError(
                f"host {host} has not rebooted after {REBOOT_SECONDS:g} s, something in it does not stop: "
                f"see {boot_id.parent / 'console.log'}, or `seedbed lab cut {host}` and power it on"
            )
        time.sleep(0.05)
    return True


def freeze(spec: LabSpec, host: str) -> bool:
    """Stop every process of the host where it is."""
    if state(spec, host) is HostState.FROZEN:
        return False
    _need_running(spec, host)
    cgroups.freeze(spec.name, host, frozen=True)
    return True


def thaw(spec: LabSpec, host: str) -> bool:
    """Let a frozen host go on."""
    if state(spec, host) is not HostState.FROZEN:
        return False
    cgroups.freeze(spec.name, host, frozen=False)
    return True


def partition(spec: LabSpec, host: str, other: str | None) -> bool:
    """Drop every frame between two hosts; without ``other``, between the host and everything else."""
    if host == other:
        raise LabError(f"a partition between {host} and itself: name two hosts, or one")
    pair = _pair(host, other)
    with machine.locked(spec.name):
        pairs = cuts(spec.name)
        if pair in pairs:
            return False
        _apply(spec.name, [*pairs, pair])
    return True


def heal(spec: LabSpec, host: str, other: str | None) -> bool:
    """Undo ``partition`` of the same hosts; without ``other``, everything that was done to the host's link."""
    with machine.locked(spec.name):
        pairs = cuts(spec.name)
        if other is None:
            kept = [pair for pair in pairs if host not in pair]
        else:
            kept = [pair for pair in pairs if pair != _pair(host, other)]
        if kept != pairs:
            _apply(spec.name, kept)
    hastened = other is None and _hasten(spec.name, host)
    return kept != pairs or hastened


def slow(spec: LabSpec, host: str, rate_bits: int) -> bool:
    """Limit the host's link in both directions, until ``heal`` or its next boot."""
    _need_running(spec, host)
    if rate_bits < 8000:
        raise LabError(f"a link of {rate_bits} bit/s: the slowest is 8000")
    burst = max(rate_bits // 8 // 50, 16 << 10)  # bytes; at least some frames, or nothing would pass
    shaping = f"root tbf rate {rate_bits}bit burst {burst}b latency 400ms".split()
    shell.run("tc", "qdisc", "replace", "dev", network.link_name(spec.name, host), *shaping)
    shell.run("tc", "-netns", network.netns_name(spec.name, host), "qdisc", "replace", "dev", "eth0", *shaping)
    return True


def _hasten(lab: str, host: str) -> bool:
    outer = shell.attempt("tc", "qdisc", "delete", "dev", network.link_name(lab, host), "root")
    shell.attempt("tc", "-netns", network.netns_name(lab, host), "qdisc", "delete", "dev", "eth0", "root")
    return outer.returncode == 0


def _need_running(spec: LabSpec, host: str) -> None:
    now = state(spec, host)
    if now in (HostState.CUT, HostState.STOPPED):
        raise LabError(f"host {host} is {now}: `seedbed lab power-on {host}` first")
    if now is HostState.FROZEN:
        raise LabError(f"host {host} is frozen: `seedbed lab thaw {host}` first")


def _pair(host: str, other: str | None) -> tuple[str, str]:
    """The unordered pair; a host alone is paired with the empty name."""
    first, second = sorted((host, other or ""))
    return first, second


def _apply(lab: str, pairs: list[tuple[str, str]]) -> None:
    shell.run("nft", "-f", "-", stdin=rules(lab, pairs))
    path = machine.NOTES / "labs" / f"{lab}.partitions"
    path.write_text(json.dumps(pairs))


def rules(lab: str, pairs: list[tuple[str, str]]) -> str:
    """The nft table that drops the frames between ``pairs``, in place of the one before, in one transaction.

    The link itself stays up, as it does when something far away breaks: with it down, a host would lose its routes.
    The rules go by the link's name, which is the same after a reboot.
    """
    table = f"table bridge seedbed_{lab}"
    text = f"{table} {{}}\ndelete {table}\n"
    between, alone = "", ["", ""]
    for first, second in pairs:
        b = network.link_name(lab, second)
        if first:
            a = network.link_name(lab, first)
            between += f"  iifname {a} oifname {b} drop\n  iifname {b} oifname {a} drop\n"
        else:
            alone = [alone[0] + f"  iifname {b} drop\n", alone[1] + f"  oifname {b} drop\n"]
    if not pairs:
        return text
    hooks = (("forward", "filter", between), ("prerouting", "-300", alone[0]), ("postrouting", "300", alone[1]))
    chains = "".join(
        f" chain {hook} {{\n  type filter hook {hook} priority {priority}; policy accept;\n{drops} }}\n"
        for hook, priority, drops in hooks
    )
    return f"{text}{table} {{\n{chains}}}\n"
