"""The edge of the cloud's network: `python -m lab.cloud.edge CONFIG.json STATUS.json`, one process a lab.

It runs in the namespace of the lab's services, which has the addresses of the load balancers and of the metadata
service. It looks at its configuration many times a second and takes over what has changed; what has not lives on.
"""

import asyncio
import json
import secrets
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

from lab import LabError, files
from lab.cloud import metadata
from lab.cloud.balancer import Running
from lab.cloud.hypervisor import Balancer, HealthCheck
from lab.internet import netns, process
from lab.spec import METADATA

NAME = "edge"
CONFIG, STATUS = "edge.conf.json", "edge.status.json"
METADATA_PORT = 80
START_SECONDS = 10.0
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Config:
    """What the edge is to be."""

    balancers: tuple[Balancer, ...]
    subjects: tuple[metadata.Subject, ...]
    metadata: str = METADATA
    metadata_port: int = METADATA_PORT

    def to_json(self, generation: str) -> str:
        """For the process, which will say that it has taken over `generation`."""
        note = {
            "balancers": [balancer_note(one) for one in self.balancers],
            "subjects": [subject.to_json() for subject in self.subjects],
            "metadata": [self.metadata, self.metadata_port],
            "generation": generation,
        }
        return json.dumps(note, indent=1)

    @staticmethod
    def from_json(text: str) -> "tuple[Config, str]":
        """What `to_json` was of."""
        note = json.loads(text)
        balancers = tuple(balancer(entry) for entry in note["balancers"])
        subjects = tuple(metadata.Subject.from_json(entry) for entry in note["subjects"])
        return Config(balancers, subjects, *note["metadata"]), note["generation"]


def balancer_note(one: Balancer) -> dict[str, Any]:
    """A load balancer for a file."""
    return {**asdict(one), "private": str(one.private)}


def balancer(note: Mapping[str, Any]) -> Balancer:
    """What `balancer_note` gave."""
    return Balancer(
        id=note["id"],
        public=note["public"],
        private=IPv4Interface(note["private"]),
        ports=tuple((port, target) for port, target in note["ports"]),
        check=HealthCheck(**note["check"]),
        backends=tuple(note["backends"]),
    )


@dataclass(frozen=True)
class Status:
    """What the edge says of itself.

    Args:
        generation: of the configuration that it has taken over.
        problem: why it could not take over all of it; empty where it could.
        health: by load balancer, then by backend, whether it gets connections.
    """

    generation: str
    problem: str
    health: Mapping[str, Mapping[str, bool]]


def ensure(lab_dir: Path, namespace: str, config: Config) -> None:
    """Have the edge run, as `config` says; returns when it does. Raises LabError where it does not."""
    folder = process.services_dir(lab_dir)
    generation = secrets.token_hex(8)
    fingerprint = process.digest(namespace, *_sources())
    with process.lock(folder):
        files.put(folder / f"{CONFIG}.new", config.to_json(generation), mode=0o600)  # user data holds host keys
        (folder / f"{CONFIG}.new").replace(folder / CONFIG)
        if not process.runs(folder, NAME, fingerprint):
            process.stop(folder, NAME, _arguments(folder))
            (folder / STATUS).unlink(missing_ok=True)
            netns.spawn(namespace, folder, NAME, [sys.executable, *_arguments(folder)], fingerprint)
        _await(lab_dir, generation)


def status(lab_dir: Path) -> Status | None:
    """What the edge last said; None where it does not run."""
    folder = lab_dir / "services"
    if process.running(folder, NAME) is None:
        return None
    try:
        return Status(**json.loads((folder / STATUS).read_text()))
    except (OSError, ValueError, TypeError):
        return None  # it has just begun


def stop(lab_dir: Path) -> bool:
    """End it; true where it ran."""
    folder = lab_dir / "services"
    return folder.is_dir() and process.stop(folder, NAME, _arguments(folder))


def _await(lab_dir: Path, generation: str) -> None:
    """Wait until the edge has taken over this configuration, or says why it cannot."""
    deadline = time.monotonic() + START_SECONDS
    while (now := status(lab_dir)) is None or now.generation != generation:
        if process.running(lab_dir / "services", NAME) is None or time.monotonic() > deadline:
            said = process.log_tail(lab_dir / "services", NAME)
            raise LabError(f"the edge of the lab's cloud does not do as it is told; the last that it said:\n{said}")
        time.sleep(LOOK_SECONDS / 2)
    if now.problem:
        raise LabError(f"the edge of the lab's cloud: {now.problem}")


class Edge:
    """The process itself."""

    def __init__(self, config: Path, status_file: Path) -> None:
        self._config, self._status = config, status_file
        self._balancers: dict[str, Running] = {}
        self._metadata: metadata.Server | None = None
        self._generation = self._problem = ""

    async def run(self) -> None:
        """Until it is ended."""
        seen: tuple[int, int] | None = None
        while True:
            stat = self._config.stat()
            if (stat.st_ino, stat.st_mtime_ns) != seen:
                seen = (stat.st_ino, stat.st_mtime_ns)
                await self.take_over(*Config.from_json(self._config.read_text()))
            await asyncio.sleep(LOOK_SECONDS)

    async def take_over(self, config: Config, generation: str) -> None:
        """Become what the configuration says, as far as that is possible."""
        problems = []
        wanted = {balancer.id: balancer for balancer in config.balancers}
        for name, running in list(self._balancers.items()):
            if name not in wanted or not running.listens_as(wanted[name]):
                self._balancers.pop(name).stop()
        for name, balancer in wanted.items():
            if name in self._balancers:
                self._balancers[name].update(balancer)
                continue
            running = Running(balancer, self._say)
            try:
                await running.start(balancer)
                self._balancers[name] = running
            except OSError as error:
                problems.append(f"load balancer {name}: {error}")
        try:
            self._know(config)
        except OSError as error:
            problems.append(f"metadata service at {config.metadata}: {error}")
        self._generation, self._problem = generation, "; ".join(problems)
        self._say()

    def _know(self, config: Config) -> None:
        if self._metadata is None:
            self._metadata = metadata.Server(config.metadata, config.metadata_port)
            threading.Thread(target=self._metadata.serve_forever, name="metadata", daemon=True).start()
        self._metadata.know(config.subjects)

    def _say(self) -> None:
        health = {name: running.health() for name, running in self._balancers.items()}
        draft = self._status.with_suffix(".new")
        draft.write_text(json.dumps(asdict(Status(self._generation, self._problem, health)), indent=1))
        draft.replace(self._status)


def _arguments(folder: Path) -> Sequence[str]:
    return ["-m", "lab.cloud.edge", str((folder / CONFIG).absolute()), str((folder / STATUS).absolute())]


def _sources() -> list[str]:
    """The edge's own code: a newer one replaces a running older one."""
    here = Path(__file__).parent
    return [(here / name).read_text() for name in ("edge.py", "balancer.py", "metadata.py", "hypervisor.py")]


if __name__ == "__main__":
    asyncio.run(Edge(Path(sys.argv[1]), Path(sys.argv[2])).run())
