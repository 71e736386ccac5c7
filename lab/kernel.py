"""Settings and modules of the one kernel that all hosts share.

A host sees the settings read-only (see stage1.sh) and can load no module, so what it needs is there before it is.
"""

import json
import platform
import shutil
from pathlib import Path

from components.pave.steps import KERNEL_EXACT, KERNEL_FLOORS
from lab import files, machine, shell

PROC = Path("/proc/sys")

EXACT = {**KERNEL_EXACT, "net.ipv4.ip_forward": 1}

# All hosts' processes are the same root to the kernel, which counts these per user: the defaults are used up by the
# second kubelet.
AT_LEAST = {**KERNEL_FLOORS, "kernel.keys.root_maxkeys": 1000000, "kernel.keys.root_maxbytes": 25000000}

# What paving loads, and where the kernel shows that it has it, built in or loaded.
MODULES = {
    "br_netfilter": "/proc/sys/net/bridge/bridge-nf-call-iptables",
    "overlay": "/sys/module/overlay",
    "nf_conntrack": "/proc/sys/net/netfilter/nf_conntrack_max",
    "vxlan": "/sys/module/vxlan",
    "wireguard": "/sys/module/wireguard",
    "iscsi_tcp": "/sys/module/iscsi_tcp",
    "ip_tables": "/proc/net/ip_tables_names",
    "ip6_tables": "/proc/net/ip6_tables_names",
    "ip_vs": "/proc/net/ip_vs",
}
LOADED = ("br_netfilter", "overlay")


def load_modules() -> None:
    """Load what every host needs, where it is a module of this kernel. Call with the machine's lock held."""
    if shutil.which("modprobe") is None:
        return
    path = machine.NOTES / "modules.json"
    notes: list[str] = json.loads(path.read_text()) if path.exists() else []
    for name in LOADED:
        if name not in present() and shell.attempt("modprobe", name).returncode == 0 and name not in notes:
            notes.append(name)
            path.write_text(json.dumps(notes))


def unload_modules() -> None:
    """Unload what ``load_modules`` loaded, as far as nobody else uses it by now."""
    path = machine.NOTES / "modules.json"
    for name in json.loads(path.read_text()) if path.exists() else []:
        shell.attempt("modprobe", "-r", name)
    path.unlink(missing_ok=True)


def present() -> list[str]:
    """Those of ``MODULES`` that this kernel has at hand."""
    filesystems = Path("/proc/filesystems").read_text().split()
    return [name for name, sign in MODULES.items() if Path(sign).exists() or name in filesystems]


def write_modules(upper: Path) -> None:
    """Tell a host's ``modprobe`` that what the kernel has is built in, or it fails on what is there.

    Its index is made by ``depmod`` at the host's first boot. Source: modules.builtin in kbuild's documentation,
    https://docs.kernel.org/kbuild/kbuild.html
    """
    folder = upper / "usr/lib/modules" / platform.release()
    files.put(folder / "modules.builtin", "".join(f"kernel/{name}.ko\n" for name in present()))
    files.put(folder / "modules.order", "")


def raise_all() -> None:
    """Set what the hosts need, and note what was there before. Call with the machine's lock held."""
    path = machine.NOTES / "sysctls.json"
    notes: dict[str, list[str]] = json.loads(path.read_text()) if path.exists() else {}
    wanted = {
        **EXACT,
        **{name: value for name, value in AT_LEAST.items() if int(_read(name) or 0) < value},
    }
    for name, value in wanted.items():
        before = _read(name)
        if before is None or before == str(value):
            continue
        notes[name] = [notes[name][0] if name in notes else before, str(value)]
        # Noted before it is written: one that is killed in between must not leave a change that nobody knows of.
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(notes))
        draft.rename(path)
        _file(name).write_text(str(value))


def restore_all() -> None:
    """Put back what ``raise_all`` changed, except where somebody else has changed it since."""
    path = machine.NOTES / "sysctls.json"
    notes: dict[str, list[str]] = json.loads(path.read_text()) if path.exists() else {}
    for name, (before, ours) in notes.items():
        if _read(name) == ours:
            _file(name).write_text(before)
    path.unlink(missing_ok=True)


def _file(name: str) -> Path:
    return PROC / name.replace(".", "/")


def _read(name: str) -> str | None:
    try:
        return _file(name).read_text().strip()
    except OSError:
        return None  # this kernel does not have it
