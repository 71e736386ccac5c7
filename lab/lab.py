"""One lab as a whole: brought up, looked at, reached and removed."""

import difflib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from pathlib import Path

from lab import LabError, cgroups, disks, faults, hosts, image, kernel, machine, network, shell, ssh, status
from lab.record import Record
from lab.spec import ELSEWHERE, HostSpec, HostState, LabSpec
from lab.status import HostStatus
from tools.debian import ensure_packages
from tools.progress import Progress

OUTER_PACKAGES = ("iproute2", "nftables", "openssh-client")
FREE_BYTES = 3 << 30
SPEC = "spec.json"
PROBE = ".probe-"


class Lab:
    """A lab on this machine. Every method raises ``LabError`` with the remedy.

    Those of faults give back whether they changed anything: a cut host can be cut again, to no effect.
    """

    def __init__(self, spec: LabSpec) -> None:
        self.spec = spec

    @classmethod
    def ensure(cls, spec: LabSpec, wanted: Sequence[HostSpec], progress: Progress) -> "Lab":
        """Bring up what of the lab is missing: image, network, hosts. What runs is left alone.

        Hosts that the list does not name are left alone too. Returns when every named host's systemd has begun;
        ``wait_ready`` waits for more. Raises ``LabError`` where the name or the subnet belongs to another folder's
        lab, or where a host of that name has another address or host key; ``ToolError`` where packages are missing.
        """
        machine.check_able()
        _check_hosts(spec, wanted)
        ensure_packages(OUTER_PACKAGES, progress)
        with machine.locked(machine.ALL):
            machine.check(spec)  # claimed only when there is something to remove
        _make_folder(spec.directory)
        base = image.ensure(progress)
        with machine.locked(spec.name):
            with machine.locked(machine.ALL):
                machine.claim(spec)
                kernel.load_modules()
                kernel.raise_all()
                network.up(spec)
            _write_spec(spec)
            for host in wanted:
                hosts.create(spec, host, base)
            ssh.write_known_hosts(spec)
            _start_all(spec, [host.name for host in wanted], progress)
        return cls(spec)

    @classmethod
    def open(cls, name: str) -> "Lab":
        """The lab ``name`` of this machine, whichever folder it is in; ``LabError`` where there is none."""
        claim = machine.claim_of(name)
        if claim is None:
            others = ", ".join(claim.name for claim in machine.claims())
            raise LabError(
                f"no lab {name!r} on this machine: `make up` makes one" + (f"; there are: {others}" if others else "")
            )
        try:
            note = json.loads((claim.directory / SPEC).read_text())
            return cls(
                LabSpec(
                    name=name,
                    directory=claim.directory,
                    subnet=IPv4Network(note["subnet"]),
                    operator_public_key=note["operator_public_key"],
                    ca_certificates=tuple(note["ca_certificates"]),
                )
            )
        except (OSError, ValueError, KeyError) as error:
            raise LabError(
                f"lab {name!r} is not whole ({claim.directory}): `make up`, or `seedbed lab down`"
            ) from error

    def add_host(self, host: HostSpec, progress: Progress) -> None:
        """One host more, started; as ``ensure`` with one host."""
        Lab.ensure(self.spec, [host], progress)

    def remove_host(self, name: str) -> None:
        """Take a host and its disk away."""
        self._check(name)
        self.heal(name)
        with machine.locked(self.spec.name):
            hosts.remove(self.spec.name, name, hosts.folder(self.spec, name))
            ssh.write_known_hosts(self.spec)

    def down(self, progress: Progress) -> None:
        """As the function ``down``, for this lab."""
        down(self.spec.name, self.spec.directory, progress)

    def host_names(self) -> list[str]:
        """The hosts that the lab has, running or not."""
        return hosts.names(self.spec)

    def status(self) -> list[HostStatus]:
        """Every host of the lab, by name."""
        return [status.of(self.spec, name) for name in self.host_names()]

    def cut(self, host: str) -> bool:
        """Power cut: unplugged first, so that no dying socket says goodbye, then killed."""
        return faults.cut(self.spec, self._check(host))

    def power_on(self, host: str) -> bool:
        """Start a host that was cut or has powered itself off."""
        with machine.locked(self.spec.name):
            return faults.power_on(self.spec, self._check(host))

    def reboot(self, host: str) -> bool:
        """A clean reboot, as ``systemctl reboot`` in the host; returns when the new boot has begun."""
        return faults.reboot(self.spec, self._check(host))

    def freeze(self, host: str) -> bool:
        """Stop every process of the host where it is; its kernel still answers ARP, ping and SYN."""
        return faults.freeze(self.spec, self._check(host))

    def thaw(self, host: str) -> bool:
        """Let a frozen host go on."""
        return faults.thaw(self.spec, self._check(host))

    def partition(self, host: str, other: str | None = None) -> bool:
        """Drop every frame between two hosts, or between one host and everything else, this machine included."""
        return faults.partition(self.spec, self._check(host), other and self._check(other))

    def heal(self, host: str, other: str | None = None) -> bool:
        """Undo ``partition`` of the same hosts; with one host, all of its partitions and its slow link."""
        return faults.heal(self.spec, self._check(host), other and self._check(other))

    def slow(self, host: str, rate_bits: int) -> bool:
        """Limit the host's link to ``rate_bits`` per second in both directions, until ``heal`` or its next boot."""
        return faults.slow(self.spec, self._check(host), rate_bits)

    def ssh_command(self, host: str, *command: str) -> list[str]:
        """The argv that runs ``command`` (none: a shell) as root on the host, with its key pinned."""
        return ssh.command(self.spec, self._check(host), *command)

    def ssh(
        self, host: str, command: str, *, timeout: float = 60, stdin: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root on the host; ``timeout`` in seconds. ``LabError`` where it fails."""
        return ssh.run(self.spec, self._check(host), command, timeout=timeout, stdin=stdin, check=check)

    def wait_ssh(self, host: str, timeout: float = 60) -> None:
        """Return when the host lets the operator log in with its pinned key; seconds."""
        ssh.wait(self.spec, self._check(host), timeout)

    def wait_ready(self, host: str, timeout: float = 120) -> None:
        """``wait_ssh``, then until cloud-init is done; ``LabError`` with its errors where it failed."""
        self.wait_ssh(host, timeout)
        ssh.wait_cloud_init(self.spec, host, timeout)

    def _check(self, host: str) -> str:
        """The name of a host that the lab has; ``LabError`` with the nearest one where it has not."""
        names = self.host_names()
        if host in names:
            return host
        near = difflib.get_close_matches(host, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(names) or 'none'}"
        raise LabError(f"lab {self.spec.name} has no host {host!r}; {hint}")


def down(name: str, directory: Path | None, progress: Progress) -> None:
    """Remove a lab's hosts and network without trace, whatever is left of them; nothing where there is nothing.

    Works on a lab that is half made, crashed, without its folder, or already gone. ``directory`` is the lab's folder
    where known; without it the machine's own note of the lab says where it is. What others keep in the folder stays;
    an empty folder goes.
    """
    machine.check_able()
    with machine.locked(machine.ALL):
        claim = machine.claim_of(name)
    if claim and directory and claim.directory != directory and claim.directory.exists():
        raise LabError(f"lab {name!r} belongs to {claim.directory}, not to {directory}: remove it from there")
    folders = {folder for folder in (directory, claim and claim.directory) if folder}
    with machine.locked(name):
        with progress.phase(f"lab {name}: hosts and network down"):
            with ThreadPoolExecutor(max_workers=8) as pool:
                ended = list(pool.map(lambda host: hosts.remove(name, host), sorted(cgroups.hosts(name))))
            network.down(name)
            cgroups.wait_reaped(set().union(*ended))
            for folder in folders:
                disks.release(folder)
        for folder in folders:
            _remove_folder(folder)
        with machine.locked(machine.ALL):
            cgroups.remove_lab(name)
            if machine.release(name):
                cgroups.remove_top()
                kernel.restore_all()
                kernel.unload_modules()
                network.forget_namespaces()
                machine.forget()


def _check_hosts(spec: LabSpec, wanted: Sequence[HostSpec]) -> None:
    """Refuse what cannot be a lab, before anything is made."""
    taken = {name: Record.read(hosts.folder(spec, name)).address for name in hosts.names(spec)}
    seen: set[str] = set()
    for host in wanted:
        spec.check_host(host)
        if host.name in seen:
            raise LabError(f"host {host.name} is named twice")
        seen.add(host.name)
        same = [name for name, address in taken.items() if address == host.address and name != host.name]
        if same:
            raise LabError(f"hosts {same[0]} and {host.name} have the same address {host.address}")
        taken[host.name] = host.address


def _make_folder(directory: Path) -> None:
    """Make the lab's folder, and make sure that hosts can lie in it."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    free = shutil.disk_usage(directory).free
    if free < FREE_BYTES:
        raise LabError(f"{directory} has {free >> 20} MiB free and a lab needs {FREE_BYTES >> 20}; {ELSEWHERE}")
    probe = Path(tempfile.mkdtemp(prefix=PROBE, dir=directory))
    for name in ("lower", "upper", "work", "merged"):
        (probe / name).mkdir()
    options = f"lowerdir={probe}/lower,upperdir={probe}/upper,workdir={probe}/work"
    mount = ("mount", "-t", "overlay", "overlay", "-o", options, f"{probe}/merged")
    tried = shell.attempt("unshare", "--mount", *mount)  # in a mount namespace of its own, which goes with it
    shutil.rmtree(probe)
    if tried.returncode != 0:
        kind = shell.run("stat", "--file-system", "--format=%T", str(directory)).strip()
        raise LabError(
            f"{directory} is on {kind}, where hosts' overlays cannot lie ({tried.stderr.strip()}); {ELSEWHERE}"
        )


def _write_spec(spec: LabSpec) -> None:
    note = {
        "subnet": str(spec.subnet),
        "operator_public_key": spec.operator_public_key,
        "ca_certificates": list(spec.ca_certificates),
    }
    # Beside it and renamed: somebody who opens the lab at this moment reads a whole one.
    draft = spec.directory / f"{SPEC}.new"
    draft.write_text(json.dumps(note, indent=1) + "\n")
    draft.rename(spec.directory / SPEC)
    if spec.operator_private_key:
        draft = spec.operator_key_file.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(spec.operator_private_key)
        draft.rename(spec.operator_key_file)


def _start_all(spec: LabSpec, names: Sequence[str], progress: Progress) -> None:
    resting = [name for name in names if status.state(spec, name) in (HostState.CUT, HostState.STOPPED)]
    for name in names:
        now = status.state(spec, name)
        if now in (HostState.FROZEN, HostState.PARTITIONED):
            undo = "thaw" if now is HostState.FROZEN else "heal"
            progress.line(f"lab {spec.name}: {name} is {now}, and left so; `seedbed lab {undo} {name}`")
    if not resting:
        return
    with progress.phase(f"lab {spec.name}: start of {', '.join(resting)}"), ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(lambda name: hosts.start(spec, name), resting))


def _remove_folder(directory: Path) -> None:
    """Remove what this package keeps in the lab's folder, and the folder where nothing else is in it."""
    if not directory.is_dir():
        return
    if (directory / "hosts").exists():
        shell.run("rm", "-rf", "--one-file-system", str(directory / "hosts"), timeout=300)
    for name in (SPEC, f"{SPEC}.new", "known_hosts", "known_hosts.new", "operator_key", "operator_key.new"):
        (directory / name).unlink(missing_ok=True)
    for probe in directory.glob(f"{PROBE}*"):
        shutil.rmtree(probe, ignore_errors=True)
    if not any(directory.iterdir()):
        directory.rmdir()
