"""One host: its folder, its start, its end."""

import os
import shutil
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path

from lab import LabError, cgroups, cloudinit, files, kernel, network, trust
from lab.record import FILE, FIREWALL, Record
from lab.spec import HostSpec, LabSpec

REPOSITORY = Path(__file__).parent.parent
DATA = ("rancher", "kubelet", "containerd", "docker")
POWER = "power"
START_SECONDS = 30.0


def folder(spec: LabSpec, name: str) -> Path:
    """The host's own folder in the lab's."""
    return spec.directory / "hosts" / name


def names(spec: LabSpec) -> list[str]:
    """The hosts that the lab has, running or not."""
    return sorted(path.parent.name for path in (spec.directory / "hosts").glob(f"*/{FILE}"))


def create(spec: LabSpec, host: HostSpec, base: Path) -> None:
    """Make the host's folder, or check that the one that is there is the same host's.

    Raises ``LabError`` where it has another address or host key. Other limits hold from its next boot.
    """
    home = folder(spec, host.name)
    key = cloudinit.public_key(host)
    private = str(host.instance.private) if host.instance else None
    record = Record(host.name, host.address, key, spec.bridge, str(base), host.memory_bytes, host.cpus, private)
    if (home / FILE).exists():
        old = Record.read(home)
        for what, had, asked in (("address", old.address, host.address), ("host key", old.host_key, key)):
            if had != asked:
                raise LabError(
                    f"host {host.name} of lab {spec.name} has the {what} {had}, not {asked}: give the new one another "
                    f"name, or remove the lab with `seedbed lab down`"
                )
        # The disk is an overlay on the image that it was made on, and on no other.
        replace(record, base=old.base).write(home)
        return
    shutil.rmtree(home, ignore_errors=True)  # half made by one that was killed
    for name in ("upper", "work", "rootfs", *(f"data/{name}" for name in DATA)):
        files.folder(home / name)
    kernel.write_modules(home / "upper")
    trust.write(home / "upper", base, spec.ca_certificates)
    cloudinit.write(home / "upper", spec, host, instance=f"{spec.name}-{host.name}-{uuid.uuid4().hex[:8]}")
    if host.instance is not None and host.instance.firewall:
        files.put(home / FIREWALL, host.instance.firewall)
    record.write(home)  # last: from here on the host is whole


def start(spec: LabSpec, name: str) -> bool:
    """Start the host; false where it runs already. Returns when its systemd has begun, long before sshd answers."""
    if cgroups.supervisor_of(spec.name, name) is not None:
        return False
    home = folder(spec, name)
    if not Path(Record.read(home).base).is_dir():
        raise LabError(
            f"host {name} lies on the image {Record.read(home).base}, which is gone from the cache: "
            f"remove the lab with `seedbed lab down` and make it anew"
        )
    cgroups.kill(spec.name, name)  # what a killed supervisor left
    (home / POWER).unlink(missing_ok=True)
    _spawn(spec.name, name, home)
    wait_begun(spec.name, name, home)
    return True


def _spawn(lab: str, name: str, home: Path) -> None:
    """Start the supervisor on its own: not a child of this process, in its cgroup, with nothing of its environment."""
    join = cgroups.prepare_supervisor(lab, name)
    supervisor = [sys.executable, "-P", "-m", "lab.supervisor", lab, name, str(home)]
    with (home / "supervisor.log").open("w") as log:
        subprocess.run(
            ["sh", "-c", 'echo $$ >"$0" && exec setsid --fork "$@"', str(join), *supervisor],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "PYTHONPATH": str(REPOSITORY)},
            timeout=START_SECONDS,
            check=True,
        )


def wait_begun(lab: str, name: str, home: Path) -> None:
    """Return when the host's systemd has begun; ``LabError`` with what was said last where it does not."""
    deadline = time.monotonic() + START_SECONDS
    while not has_begun(lab, name):
        if cgroups.supervisor_of(lab, name) is None or time.monotonic() > deadline:
            raise LabError(f"host {name} did not start; the last that it said:\n{_last_words(home)}")
        time.sleep(0.02)


def has_begun(lab: str, name: str) -> bool:
    """Whether the host's PID 1 is systemd by now, and no longer what prepares its file systems."""
    pid = cgroups.init_of(lab, name)
    try:
        return pid is not None and Path(f"/proc/{pid}/comm").read_text().strip() in ("systemd", "init")
    except OSError:
        return False


def _last_words(home: Path) -> str:
    lines: list[str] = []
    for log in ("supervisor.log", "console.log"):
        if (home / log).exists():
            lines += (home / log).read_text(errors="replace").splitlines()[-6:]
    return "\n".join(f"  | {line}" for line in lines)


def stop(lab: str, name: str) -> set[int]:
    """End the host at once; gives back the processes that this ended.

    It is unplugged first, so that none of its dying sockets says goodbye to its peer.
    """
    network.set_link(lab, name, "down")
    ended = cgroups.kill(lab, name)
    network.unplug(lab, name)
    return ended


def remove(lab: str, name: str, home: Path | None = None) -> set[int]:
    """End the host and take its disk away, where it has any; gives back the processes that this ended."""
    ended = stop(lab, name)
    cgroups.remove(lab, name)
    if home is not None and home.exists():
        shutil.rmtree(home)
    return ended
