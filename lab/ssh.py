"""Reaching a lab's hosts as their operator, by the keys that they were given."""

import socket
import subprocess
import time

from lab import LabError, hosts
from lab.record import Record
from lab.spec import LabSpec

NO_CONNECTION = 255
"""The exit code of ssh itself."""


def write_known_hosts(spec: LabSpec) -> None:
    """Pin the keys of all hosts, under their names and addresses; but of those that make their own."""
    records = [Record.read(hosts.folder(spec, name)) for name in hosts.names(spec)]
    lines = [f"{record.name},{record.address} {record.host_key}\n" for record in records if record.host_key]
    draft = spec.known_hosts_file.with_suffix(".new")
    draft.write_text("".join(lines))
    draft.rename(spec.known_hosts_file)


def command(spec: LabSpec, host: str, *words: str) -> list[str]:
    """The argv that runs ``words`` (none: a shell) as root on the host; nothing of the user's own ssh set-up counts."""
    if not spec.operator_key_file.exists():
        raise LabError(f"{spec.operator_key_file} is missing, the key that logs in to hosts: run `seedbed lab up`")
    record = Record.read(hosts.folder(spec, host))
    if not record.host_key:
        raise LabError(f"host {host} made its own host key, as its user data held none: nothing proves who answers")
    options = {
        "UserKnownHostsFile": spec.known_hosts_file,
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "ConnectTimeout": 5,
        "ServerAliveInterval": 5,
        "ServerAliveCountMax": 4,
        "LogLevel": "ERROR",
    }
    argv = ["ssh", "-F", "none", "-i", str(spec.operator_key_file)]
    for name, value in options.items():
        argv += ["-o", f'{name}="{value}"' if name == "UserKnownHostsFile" else f"{name}={value}"]
    return [*argv, f"root@{record.address}", *words]


def run(
    spec: LabSpec, host: str, script: str, *, timeout: float, stdin: str, check: bool
) -> subprocess.CompletedProcess[str]:
    """Run a shell command as root on the host; ``LabError`` where it fails (with ``check``) or outlasts ``timeout``."""
    try:
        done = subprocess.run(
            command(spec, host, script),
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"host {host}: not done after {timeout:g} s: {script[:100]}") from None
    if check and done.returncode != 0:
        raise LabError(
            f"host {host}: exit code {done.returncode} of: {script[:100]}\n{(done.stderr or done.stdout)[-2000:]}"
        )
    return done


def wait(spec: LabSpec, host: str, timeout: float) -> None:
    """Return when the host lets the operator log in."""
    deadline = time.monotonic() + timeout
    address = Record.read(hosts.folder(spec, host)).address
    said = "sshd does not answer"
    while time.monotonic() < deadline:
        if _greets(address):
            left = max(1.0, deadline - time.monotonic())
            done = run(spec, host, "true", timeout=left, stdin="", check=False)
            if done.returncode == 0:
                return
            said = done.stderr.strip()
            if "HOST IDENTIFICATION HAS CHANGED" in said or "Host key verification failed" in said:
                raise LabError(f"host {host} at {address} answers with another host key than its own:\n{said}")
        time.sleep(0.05)
    raise LabError(f"host {host} at {address}: no login after {timeout:g} s ({said}); see `seedbed lab status`")


def wait_cloud_init(spec: LabSpec, host: str, timeout: float) -> None:
    """Return when cloud-init has done its work of the first boot; ``LabError`` with its errors where it failed."""
    deadline = time.monotonic() + timeout
    while True:
        left = max(1.0, deadline - time.monotonic())
        done = run(spec, host, "cloud-init status --wait --long", timeout=left, stdin="", check=False)
        if done.returncode != NO_CONNECTION or time.monotonic() > deadline:
            break
        time.sleep(0.2)  # cloud-init itself restarts sshd, where it is told something of its configuration
    if done.returncode != 0 or "status: done" not in done.stdout:
        raise LabError(f"host {host}: cloud-init failed:\n{done.stdout.strip(' .')}{done.stderr}")


def _greets(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=0.5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
