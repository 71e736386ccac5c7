"""Starts, stops and looks after the small internet of one lab."""

import http.client
import json
import ssl
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import LabError
from lab.internet import dns, netns, pki, process
from lab.internet.names import SELF, dns_names
from tools import cache
from tools.debian import ensure_packages
from tools.progress import Progress

START_SECONDS = 10.0
"""How long the services may take until they answer."""

_DNS, _HTTPS = "dnsmasq", "internet"
_DNS_CONFIG, _HTTPS_CONFIG = "dnsmasq.conf", "internet.conf.json"
_POLL = 0.05
_PROBE_SECONDS = 1.0


@dataclass(frozen=True)
class Ports:
    """What the services listen on."""

    dns: int = 53
    http: int = 80
    https: int = 443


@dataclass(frozen=True)
class Status:
    """What of the small internet runs; pids, None for what does not."""

    dns: int | None
    https: int | None
    answers: bool
    """Both answer right now."""
    problems: tuple[str, ...]
    """Archives of images that cannot be read, and why."""


@dataclass(frozen=True)
class Started:
    """How `start` left the services."""

    restarted: tuple[str, ...]
    """The services that were started now; empty if all ran already as asked."""
    resolvers: tuple[str, ...]
    """Where names that the lab does not know are asked; empty: hosts resolve only the lab's own names."""


def start(
    lab_dir: Path,
    netns_name: str | None,
    address: str,
    serve: Mapping[str, Path],
    archives: Sequence[Path],
    progress: Progress | None = None,
    ports: Ports = Ports(),
    resolvers: Sequence[str] | None = None,
) -> Started:
    """Have the services run, with this configuration, and wait until they answer. Running ones are left alone.

    Args:
        lab_dir: the lab's folder; the CA is made there if it has none.
        netns_name: the network namespace that they run in; None is the caller's own (tests).
        address: the IPv4 address in it that they listen on and that names are answered with.
        serve: host to the folder of its files.
        archives: OCI-layout tars; a file that changes or appears later is seen without a restart.
        progress: gets a line for what is worth knowing; None prints it.
        ports: other than the usual ones in tests.
        resolvers: where other names are asked; None takes the outer machine's.

    Raises:
        LabError: a port is taken, or one does not answer in time (with its last log lines).
        ToolError: dnsmasq is missing and cannot be installed.
    """
    progress = progress or Progress()
    if dns.dnsmasq() is None:
        ensure_packages(["dnsmasq-base"], progress)
    folder = process.services_dir(lab_dir)
    if resolvers is None:
        resolvers = dns.outer_resolvers()
    if not resolvers:
        progress.line("no resolver of this machine can be used from the lab: hosts resolve only the lab's own names")
    with process.lock(folder):
        pki.ensure_authority(lab_dir)
        dns_text = dns.render_config(address, dns_names(serve), resolvers, ports.dns)
        settings = {
            "lab_dir": str(lab_dir.absolute()),
            "netns": netns_name,
            "address": address,
            "http_port": ports.http,
            "https_port": ports.https,
            "dns_port": ports.dns,
            "serve": {host: str(tree.absolute()) for host, tree in sorted(serve.items())},
            "archives": [str(archive.absolute()) for archive in archives],
            "resolvers": list(resolvers),
            "cache": str(cache.root() / "mirror"),
        }
        https_text = json.dumps(settings, indent=1)
        fingerprints = {
            _DNS: process.digest(dns_text, netns_name or ""),
            _HTTPS: process.digest(https_text, _sources(), (lab_dir / "ca.crt").read_text()),
        }
        settings["fingerprint"] = fingerprints[_HTTPS]
        stale = [name for name in (_DNS, _HTTPS) if not process.runs(folder, name, fingerprints[name])]
        if _DNS in stale:
            process.stop(folder, _DNS, _dns_arguments(folder))
            (folder / _DNS_CONFIG).write_text(dns_text)
            argv = [dns.dnsmasq() or "dnsmasq", *_dns_arguments(folder)]
            netns.spawn(netns_name, folder, _DNS, argv, fingerprints[_DNS])
        if _HTTPS in stale:
            process.stop(folder, _HTTPS, _https_arguments(folder))
            (folder / _HTTPS_CONFIG).write_text(json.dumps(settings, indent=1))
            argv = [sys.executable, *_https_arguments(folder)]
            netns.spawn(netns_name, folder, _HTTPS, argv, fingerprints[_HTTPS])
        probe = Probe(lab_dir, address, ports, fingerprints[_HTTPS])
        problems = netns.call(netns_name, lambda: _await(folder, probe))
    for problem in problems:
        progress.line(f"no images from an archive: {problem}")
    return Started(tuple(stale), tuple(resolvers))


def stop(lab_dir: Path) -> bool:
    """End the services; True if any ran. Does its work on a half-made lab too."""
    folder = lab_dir / "services"
    if not folder.is_dir():
        return False
    with process.lock(folder):
        https = process.stop(folder, _HTTPS, _https_arguments(folder))
        return process.stop(folder, _DNS, _dns_arguments(folder)) or https


def status(lab_dir: Path) -> Status:
    """What runs, and whether it answers."""
    folder = lab_dir / "services"
    pids = {name: daemon.pid if (daemon := process.running(folder, name)) else None for name in (_DNS, _HTTPS)}
    answers, problems = False, list[str]()
    if None not in pids.values():
        settings = json.loads((folder / _HTTPS_CONFIG).read_text())
        ports = Ports(settings["dns_port"], settings["http_port"], settings["https_port"])
        probe = Probe(lab_dir, settings["address"], ports, settings["fingerprint"])
        try:
            complaints, problems = netns.call(settings["netns"], probe.ask)
            answers = not complaints
        except LabError:  # the namespace is gone: a half-removed lab
            answers = False
    return Status(pids[_DNS], pids[_HTTPS], answers, tuple(problems))


@dataclass(frozen=True)
class Probe:
    """Asks the services what a host would ask."""

    lab_dir: Path
    address: str
    ports: Ports
    fingerprint: str

    def ask(self) -> tuple[dict[str, str], list[str]]:
        """Service to what is wrong with it, empty when all is well; and what the HTTPS server says is amiss."""
        found: dict[str, str] = {}
        problems: list[str] = []
        try:
            if dns.lookup(SELF, [self.address], _PROBE_SECONDS, self.ports.dns) != [self.address]:
                found[_DNS] = f"answers wrongly for {SELF}"
        except dns.NameNotFoundError as error:
            found[_DNS] = str(error)
        try:
            problems = self._healthz()
        except (OSError, ValueError, http.client.HTTPException) as error:
            found[_HTTPS] = str(error) or type(error).__name__
        return found, problems

    def _healthz(self) -> list[str]:
        context = ssl.create_default_context(cafile=str(self.lab_dir / "ca.crt"))
        connection = http.client.HTTPSConnection(
            self.address, self.ports.https, timeout=_PROBE_SECONDS, context=context
        )
        try:
            connection.request("GET", "/healthz")
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if answer.get("fingerprint") != self.fingerprint:
            raise ValueError("another server answers at this address")
        return list(answer["problems"])


def _await(folder: Path, probe: Probe) -> list[str]:
    deadline = time.monotonic() + START_SECONDS
    while True:
        complaints, problems = probe.ask()
        if not complaints:
            return problems
        dead = [name for name in (_DNS, _HTTPS) if process.running(folder, name) is None]
        if dead or time.monotonic() > deadline:
            name = dead[0] if dead else next(iter(complaints))
            reason = "has ended" if dead else f"does not answer after {START_SECONDS:.0f} s: {complaints[name]}"
            log = folder / f"{name}.log"
            raise LabError(f"the lab's {name} {reason}; the last lines of {log}:\n{process.log_tail(folder, name)}")
        time.sleep(_POLL)


def _dns_arguments(folder: Path) -> list[str]:
    return ["--keep-in-foreground", f"--conf-file={(folder / _DNS_CONFIG).absolute()}"]


def _https_arguments(folder: Path) -> list[str]:
    return ["-m", "lab.internet.server", str((folder / _HTTPS_CONFIG).absolute())]


def _sources() -> str:
    """The server's own code: a newer one replaces a running older one."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return process.digest(*(file.read_text() for file in files))
