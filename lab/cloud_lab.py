"""The cloud of a lab whose machines are droplets: its network, its API and its object storage, as the stack finds them.

The API makes the hosts, when somebody asks it for droplets. Each function does what is missing and leaves alone what is
there.
"""

import json
import shutil
import urllib.request
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from lab import LabError, machine
from lab.cloud import edge, service, spaces
from lab.lab import OUTER_PACKAGES
from lab.spec import LabSpec
from tools.debian import ensure_packages
from tools.progress import Progress

FOLDER = "cloud"
"""The folder in the lab's in which the cloud keeps all that it has."""

SUBNET = "subnet"
"""The file in the lab's folder that keeps which network it was given."""

SUBNETS = [IPv4Network(f"10.77.{number}.0/24") for number in range(1, 100)]
"""Of which a lab is given the first that is free. 10.77.0.0/24 is the dev stack's; the tests choose from 100 on."""

TIMEOUT_SECONDS = 10.0


def ensure_subnet(name: str, directory: Path, progress: Progress) -> IPv4Network:
    """The network of public addresses of lab `name`: the one that it was given before, or one that is free.

    Raises LabError where there is none, or another folder's lab has this name.
    """
    machine.check_able()
    file = directory / SUBNET
    if file.exists():
        return subnet_of(directory)
    ensure_packages(OUTER_PACKAGES, progress)
    for subnet in SUBNETS:
        try:
            machine.check(LabSpec(name, directory, subnet, operator_public_key=""))
        except LabError as error:
            refused = error
        else:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            file.write_text(f"{subnet}\n")
            return subnet
    raise refused


def subnet_of(directory: Path) -> IPv4Network:
    """The network that the lab in this folder was given. Raises LabError where it was given none."""
    file = directory / SUBNET
    try:
        return IPv4Network(file.read_text().strip())
    except FileNotFoundError:
        raise LabError(f"{directory} has no network for droplets yet: `seedbed rehearse` gives it one") from None
    except ValueError as error:
        raise LabError(f"{file} is damaged ({error}): take the lab down and make it anew") from error


def start_spaces(lab: str, directory: Path, netns: str, address: str, versitygw: Path, progress: Progress) -> None:
    """The object storage; the lab's network has to be there."""
    with progress.phase("object storage of the cloud"):
        spaces.ensure(directory, lab, netns, address, versitygw, progress)


def start_api(lab: str, directory: Path, subnet: IPv4Network, progress: Progress) -> None:
    """The API, and the edge of the droplets' network; the object storage has to be there."""
    with progress.phase("cloud's API") as phase:
        phase.note(f"at {service.start(directory, lab, subnet, progress).url}")


def ensure_zone(directory: Path, zone: str, progress: Progress) -> bool:
    """Has the account own a DNS zone, as the one of a real stack does before the stack is made; True if it is new."""
    if _ask(directory, "GET", f"/v2/domains/{zone}") is not None:
        return False
    _ask(directory, "POST", "/v2/domains", {"name": zone})
    progress.line(f"the cloud's account has the zone {zone}")
    return True


def spaces_endpoint(subnet: IPv4Network) -> str:
    """Where the object storage of a lab in this network is."""
    return f"http://{subnet[2]}:{spaces.PORT}"


@dataclass(frozen=True)
class Status:
    """Where the API is, whether it answers, and whether the object storage runs."""

    url: str
    answers: bool
    storage: bool


def status(directory: Path) -> Status | None:
    """What runs of the cloud; None for a lab that never had one."""
    api = service.load(directory)
    if api is None:
        return None
    return Status(api.url, service.status(directory).answers, spaces.status(directory) is not None)


def stop(directory: Path) -> None:
    """Ends API, edge and object storage, whichever of them runs; before the hosts go, or the API would make more."""
    service.stop(directory)
    edge.stop(directory)
    spaces.stop(directory)


def lose(directory: Path) -> None:
    """The account with all that was in it, the object storage too."""
    stop(directory)
    shutil.rmtree(directory / FOLDER, ignore_errors=True)


def _ask(directory: Path, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any] | None:
    """What the API answers; None where there is no such thing. Raises LabError."""
    api = service.load(directory)
    if api is None:
        raise LabError(f"{directory} has no cloud")
    request = urllib.request.Request(
        f"{api.url}{path}",
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"},
        method=method,
    )
    # No proxy: it is this machine's own.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as reply:
            return dict(json.load(reply))
    except HTTPError as error:
        with error:
            if error.code == 404:
                return None
            raise LabError(f"the lab's cloud: {method} {path}: {error.code} {error.read(500).decode()}") from None
    except (OSError, ValueError) as error:
        raise LabError(f"the lab's cloud at {api.url} does not answer: {error}") from error
