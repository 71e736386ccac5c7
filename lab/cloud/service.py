"""Starts, stops and looks after the cloud of one lab: its API's process, its tokens, its port.

All is in the lab's folder: `cloud/state.json` has every object, so the process may be ended and started again;
`cloud/token` and `cloud/token-read-only` are for the owner only, and last as long as the folder.
"""

import http.client
import json
import os
import secrets
import socket
import sys
import time
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

from components.metal.digitalocean.catalogue import REGIONS
from lab import LabError
from lab.cloud.core import Account, Delays
from lab.cloud.limits import Limits
from lab.internet import netns, process
from tools.progress import Progress

START_SECONDS = 20.0
"""How long the API may take until it answers; with machines it looks after each of them first."""

USUAL_DELAYS, USUAL_LIMITS = Delays(), Limits()

USED_ACCOUNT = Account(used_regions=tuple(REGIONS))
"""An account that made droplets everywhere once, so that no VPC of a stack becomes a default one."""

_NAME = "cloud"
_CONFIG = "cloud.conf.json"
_POLL = 0.05
_PROBE_SECONDS = 2.0
_TOKEN_BYTES = 32


@dataclass(frozen=True)
class Endpoint:
    """Where the API is, and who may do what; the values for DIGITALOCEAN_API_URL and DIGITALOCEAN_TOKEN."""

    url: str
    token: str = field(repr=False)
    token_read_only: str = field(repr=False)


@dataclass(frozen=True)
class Status:
    """The process's pid, None if there is none; whether it answers, and where."""

    pid: int | None
    answers: bool
    url: str | None


def start(
    lab_dir: Path,
    lab: str,
    subnet: IPv4Network,
    progress: Progress,
    hypervisor: str = "lab",
    delays: Delays = USUAL_DELAYS,
    limits: Limits = USUAL_LIMITS,
    account: Account = USED_ACCOUNT,
) -> Endpoint:
    """Have the API run and wait until it answers. One that runs already as asked is left alone.

    Args:
        lab_dir: the lab's folder.
        lab: its name, for the hypervisor.
        subnet: its /24, of which public addresses are.
        progress: gets a line if it was started.
        hypervisor: `lab`, which boots hosts, or `paper`, which makes nothing.
        delays: how long it takes its time.
        limits: of requests.
        account: how much it may have, and where it was used before.

    Raises:
        LabError: it does not answer in time (with its last log lines).
    """
    folder, cloud = process.services_dir(lab_dir), _folder(lab_dir)
    with process.lock(folder):
        for name in ("token", "token-read-only"):
            _ensure_token(cloud / name)
        port = _port(cloud)
        config = {
            "lab": lab,
            "lab_dir": str(lab_dir.absolute()),
            "state": str((cloud / "state.json").absolute()),
            "subnet": str(subnet),
            "hypervisor": hypervisor,
            "port": port,
            "token": str((cloud / "token").absolute()),
            "token_read_only": str((cloud / "token-read-only").absolute()),
            "delays": asdict(delays),
            "limits": asdict(limits),
            "account": asdict(account),
        }
        fingerprint = process.digest(json.dumps(config), _sources())
        if not process.runs(folder, _NAME, fingerprint):
            process.stop(folder, _NAME, _arguments(folder))
            (folder / _CONFIG).write_text(json.dumps(config | {"fingerprint": fingerprint}, indent=1))
            netns.spawn(None, folder, _NAME, [sys.executable, *_arguments(folder)], fingerprint)
            progress.line(f"the lab's cloud is at http://127.0.0.1:{port}")
    # Not with the lock: the API itself starts the edge of the network, which has to take it.
    _await(folder, cloud, fingerprint)
    endpoint = load(lab_dir)
    assert endpoint is not None  # noqa: S101 (its files were just written)
    return endpoint


def stop(lab_dir: Path) -> bool:
    """End the API's process; True if it ran. Its machines and its state stay."""
    folder = lab_dir / "services"
    if not folder.is_dir():
        return False
    with process.lock(folder):
        return process.stop(folder, _NAME, _arguments(folder))


def status(lab_dir: Path) -> Status:
    """What runs, and whether it answers."""
    folder, endpoint = lab_dir / "services", load(lab_dir)
    daemon = process.running(folder, _NAME)
    if daemon is None or endpoint is None:
        return Status(None, answers=False, url=None)
    return Status(daemon.pid, _complaint(lab_dir / "cloud", daemon.fingerprint) is None, endpoint.url)


def load(lab_dir: Path) -> Endpoint | None:
    """Where the lab's cloud is, or was; None if it never had one."""
    cloud = lab_dir / "cloud"
    try:
        port = int((cloud / "port").read_text())
        token, read_only = ((cloud / name).read_text().strip() for name in ("token", "token-read-only"))
    except FileNotFoundError:
        return None
    return Endpoint(f"http://127.0.0.1:{port}", token, read_only)


def _folder(lab_dir: Path) -> Path:
    folder = lab_dir / "cloud"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _ensure_token(file: Path) -> None:
    """A token of the form of DigitalOcean's, if there is none yet."""
    if file.exists():
        return
    new = file.with_name(f".{file.name}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as handle:  # noqa: PTH123 (a descriptor)
        handle.write(f"dop_v1_{secrets.token_hex(_TOKEN_BYTES)}\n")
    new.replace(file)


def _port(cloud: Path) -> int:
    """The port of the last time, as environments of the lab's stacks may hold it; else a free one."""
    file = cloud / "port"
    if not file.exists():
        with socket.create_server(("127.0.0.1", 0)) as probe:
            file.write_text(f"{probe.getsockname()[1]}\n")
    return int(file.read_text())


def _complaint(cloud: Path, fingerprint: str) -> str | None:
    """What is wrong with the API right now."""
    endpoint = load(cloud.parent)
    if endpoint is None:
        return "it has no port"
    connection = http.client.HTTPConnection(endpoint.url.removeprefix("http://"), timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", "/lab/health", headers={"Authorization": f"Bearer {endpoint.token}"})
        answer = json.loads(connection.getresponse().read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return None if answer.get("fingerprint") == fingerprint else "another server answers at this address"


def _await(folder: Path, cloud: Path, fingerprint: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while (complaint := _complaint(cloud, fingerprint)) is not None:
        dead = process.running(folder, _NAME) is None
        if dead or time.monotonic() > deadline:
            reason = "has ended" if dead else f"does not answer after {START_SECONDS:.0f} s: {complaint}"
            log = folder / f"{_NAME}.log"
            raise LabError(
                f"the lab's {_NAME} {reason}; the last lines of {log}:\n{process.log_tail(folder, _NAME)}\n"
                f"If another program took its port, remove {cloud / 'port'} and start again."
            )
        time.sleep(_POLL)


def _arguments(folder: Path) -> list[str]:
    return ["-m", "lab.cloud.server", str((folder / _CONFIG).absolute())]


def _sources() -> str:
    """The server's own code: a newer one replaces a running older one."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return process.digest(*(file.read_text() for file in files))
