"""Paving a ready server and agent by `pulumi up`, against a shell script that installs the same by hand over SSH."""

import os
import secrets
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from bench import by_hand, report
from bench.measure import BenchError, Usage, interleaved
from bench.measure import run as measured
from bench.world import World
from lab import cgroups, stack_lab
from lab.lab import Lab
from stacks.config import from_file
from stacks.settings import Settings

TARGET = 1.2
ROUNDS = 3
TIMEOUT_SECONDS = 1200
SCRIPT = Path(__file__).parent / "pave_by_hand.sh"

_SSH_CONFIG = """Host {name}
  HostName {address}
  User root
  IdentityFile {key}
  IdentitiesOnly yes
  UserKnownHostsFile {known_hosts}
  StrictHostKeyChecking yes
  LogLevel ERROR
"""


def run(world: World) -> Path:
    """Measure, and write results/pave.md."""
    before = report.load()
    found = interleaved(ROUNDS, seedbed=lambda: _by_pulumi(world), by_hand=lambda: _by_hand(world))
    return report.write("pave", "Paving a server and an agent", before, _body(world, found))


def _by_pulumi(world: World) -> Usage:
    world.destroy()
    fresh_hosts(world)
    before = hosts_cpu(world)
    with world.progress.phase("pulumi up on fresh hosts"):
        usage = world.pulumi("up", "--yes", "--skip-preview", "--suppress-outputs", timeout=TIMEOUT_SECONDS)
    usage = replace(usage, cpu_seconds=usage.cpu_seconds + hosts_cpu(world) - before)
    check_ready(world)
    return usage


def _by_hand(world: World) -> Usage:
    lab = fresh_hosts(world)
    stack, settings = world.stack, _settings(world)
    servers = [name for name in lab.host_names() if name == settings.cluster.init]
    agents = [name for name in lab.host_names() if name not in servers]
    folder = stack.root / ".bench"
    folder.mkdir(exist_ok=True)
    config = folder / "ssh_config"
    addresses = {host.name: host.address for host in lab.status()}
    config.write_text(
        "".join(
            _SSH_CONFIG.format(
                name=name, address=address, key=lab.spec.operator_key_file, known_hosts=lab.spec.known_hosts_file
            )
            for name, address in addresses.items()
        )
    )
    environment = os.environ | {
        "SERVER_ADDRESS": addresses[servers[0]],
        "AGENT_ADDRESS": addresses[agents[0]],
        "K3S_URL": f"{settings.k3s.release_url}/{quote(settings.k3s.version)}/k3s",
        "K3S_SHA256": settings.k3s_digests["amd64"],
        "TOKEN": secrets.token_hex(24),
        "AGENT_TOKEN": secrets.token_hex(24),
    }
    before = hosts_cpu(world)
    with world.progress.phase("the same by hand on fresh hosts"):
        usage = measured([str(SCRIPT), str(config), servers[0], agents[0]], folder, environment, TIMEOUT_SECONDS)
    usage = replace(usage, cpu_seconds=usage.cpu_seconds + hosts_cpu(world) - before)
    check_ready(world)
    return usage


def fresh_hosts(world: World) -> Lab:
    """The stack's hosts anew, with their names, addresses and keys, booted to the end."""
    stack = world.stack
    lab = stack.lab
    with world.progress.phase("fresh hosts"):
        for name in lab.host_names():
            lab.remove_host(name)
        hosts = stack_lab.StackLab(stack.name, stack.lab_folder, _settings(world)).hosts(stack.identity)
        lab = Lab.ensure(lab.spec, hosts, world.progress)
        for host in hosts:
            lab.wait_ready(host.name)
    return lab


def hosts_cpu(world: World) -> float:
    """CPU seconds that the lab's hosts have used so far, all that was on them counted."""
    group = cgroups.supervisor_group(world.stack.name, "any").parent
    for line in (group / "cpu.stat").read_text().splitlines():
        if line.startswith("usage_usec "):
            return int(line.split()[1]) / 1e6
    raise BenchError(f"{group}/cpu.stat does not say what the hosts' processes used")


def _settings(world: World) -> Settings:
    return from_file(world.stack.name, world.stack.root)


def check_ready(world: World) -> None:
    """Raises AssertionError where not both nodes are."""
    nodes = world.stack.kubectl("get", "nodes", "--no-headers")
    if len(nodes.splitlines()) != 2 or "NotReady" in nodes:
        raise AssertionError(f"both nodes should be Ready:\n{nodes}")


def _body(world: World, found: dict[str, list[Usage]]) -> str:
    return (
        f"Aim: at most {TARGET} times the script.\n\n"
        + by_hand.rounds(found)
        + "\nEach run has fresh hosts of one lab, with the same names "
        "and addresses, booted until cloud-init is done; the order of the two turns round from round to round. "
        "`pulumi up --skip-preview` (as `make up` calls it) begins with an empty state; bench/pave_by_hand.sh installs the same "
        "packages, settings, Docker and k3s over SSH, both hosts at the same time until Docker runs, then the server's k3s, "
        "then the agent's. Both end when both nodes are Ready. CPU is "
        "what the command and everything on the two hosts (by their cgroups) used, which a busy machine changes little. The best is what it disturbed "
        "least.\n\n"
        "Medians of the parts, in whole seconds. By hand the seconds count from the start of the script, by `pulumi up` "
        "from the start of each step:\n\n" + by_hand.parts(found) + f"\n{world.about()}\n"
    )
