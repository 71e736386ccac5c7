"""What labs leave on this machine, as a set of lines that can be compared before and after."""

import json
import os
import subprocess
from pathlib import Path

from lab import cgroups, kernel, machine


def footprint() -> set[str]:
    """Processes, namespaces, mounts, links, cgroups, firewall rules, sysctls and notes; a line each."""
    return {
        *_processes(),
        *(f"netns {path}" for path in Path("/run/netns").glob("*")),
        f"netns folder {Path('/run/netns').exists()}",
        *(f"mount {line.split()[4]}" for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        *_links(),
        # Not by a glob, which fails where a folder of another lab goes meanwhile.
        *(f"cgroup {path}" for h in cgroups.hierarchies() for path, _, _ in os.walk(h.path / cgroups.TOP)),
        *(f"nft {line}" for line in _output("nft", "list", "tables").splitlines()),
        *(f"iptables {line}" for line in _output("iptables", "-w", "-S").splitlines()),
        *(f"sysctl {name}={kernel._read(name)}" for name in (*kernel.EXACT, *kernel.AT_LEAST)),
        *(f"note {path}/{name}" for path, folders, files in os.walk(machine.NOTES) for name in (*folders, *files)),
    }


def left_by(lab: str, before: set[str], after: set[str]) -> set[str]:
    """What is there after and was not before, less what another lab of this machine may have made meanwhile."""
    left = after - before
    others_before = any(line.startswith(f"note {machine.NOTES}/labs/") and lab not in line for line in before)
    # Such as the dev lab: what is shared stays, and goes with the last of them, and what is its own comes and goes.
    if others_before or machine.claims():
        left = {line for line in left if lab in line}
    return left


def _processes() -> set[str]:
    """Those in a cgroup of a lab, and those with a lab's name or the supervisor's in their command."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_text().replace("\0", " ").strip()
            groups = (folder / "cgroup").read_text()
        except OSError:
            continue
        where = [line.split(":")[2] for line in groups.splitlines() if "/seedbed/" in line]
        if where or "lab.supervisor" in command or " sb-" in command:
            found.add(f"process {folder.name} {where[:1]} {command[:200]}")
    return found


def _links() -> set[str]:
    links = json.loads(_output("ip", "-json", "link", "show"))
    return {f"link {link['ifname']} {link.get('ifalias', '')}" for link in links}


def _output(*argv: str) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False).stdout
    except FileNotFoundError:
        return ""
