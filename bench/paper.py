"""The lab's cloud with machines on paper only, and a Pulumi project that uses it: the engine, the program's metal and the
plugin, with nothing to boot. It needs neither root nor a lab."""

import json
import secrets
import shlex
import shutil
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from bench.measure import Usage, run
from lab.cloud import server
from lab.cloud import spaces as object_storage
from lab.cloud.core import Account, Delays
from lab.cloud.limits import Limits
from lab.cloud.paper import PaperHypervisor
from lab.cloud.resources import droplets
from stacks.config import ROOT
from stacks.identity import generate
from tools import dropins, toolchain
from tools.progress import Progress
from tools.toolchain import Toolchain

PROGRAM = Path(__file__).parent / "metal_program.py"
PLUGIN = "digitalocean"
IDENTITY = "identity.json"
"""In the project's folder; `seedbed:identityFile` names it."""

ZONE = "example.org"

SUBNET = "10.96.0.0/16"
DROPLETS = (256, 16_000)
"""Where droplets have their public addresses in it: a lab's /24 has 180 of them, an account at the real cloud as many as it
is allowed droplets."""

ACCOUNT = Account(droplet_limit=1000, used_regions=("fra1",))
NO_LIMITS = Limits(hour=10**6, minute=10**6)
UNPACED = 10**6
"""Requests a minute."""

TIMEOUT_SECONDS = 3600


@dataclass(frozen=True)
class Asked:
    """A request to the API: its path without the query, the status of the answer, and when that was, in seconds since 1970."""

    method: str
    path: str
    status: int
    at: float


@dataclass(frozen=True)
class Cloud:
    """The API, and the token that may do everything."""

    url: str
    token: str = field(repr=False)

    @property
    def variables(self) -> dict[str, str]:
        """What the plugin needs to use it."""
        return {"DIGITALOCEAN_API_URL": self.url, "DIGITALOCEAN_TOKEN": self.token}

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 (JSON)
        """The answer to one request."""
        request = urllib.request.Request(
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            method=method,
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            raw = answer.read()
        return json.loads(raw) if raw else None

    def take_requests(self) -> list[Asked]:
        """All requests since the last call, the oldest first."""
        listed = self.ask("GET", "/lab/requests")["requests"]
        self.ask("DELETE", "/lab/requests")
        return [
            Asked(
                one["method"],
                one["path"].partition("?")[0],
                one["status"],
                datetime.fromisoformat(one["at"]).timestamp(),
            )
            for one in listed
        ]


@dataclass(frozen=True)
class Stack:
    """One stack of the project, and the cloud that it uses."""

    name: str
    folder: Path
    cloud: Cloud
    environment: dict[str, str] = field(repr=False)

    def pulumi(self, *arguments: str, kind_of: Callable[[str], str | None] | None = None) -> Usage:
        """`pulumi …`, measured."""
        argv = ["pulumi", *arguments, "--non-interactive"]
        return run(argv, self.folder, self.environment, TIMEOUT_SECONDS, kind_of)


@dataclass
class Paper:
    """A project with the program's metal, its state in files, and an object storage on loopback."""

    folder: Path
    tools: Toolchain
    environment: dict[str, str]
    progress: Progress

    @property
    def can_unpace(self) -> bool:
        """Whether the plugin is the drop-in, which keeps below the API's limit by itself; the official one does not."""
        return f"resource-{PLUGIN}" in self.tools.drop_ins

    @contextmanager
    def stack(self, name: str, settings: dict[str, Any], *, limited: bool = True) -> Iterator[Stack]:
        """A new stack with these settings, and a new cloud for it. Without limits neither API nor plugin has any."""
        environment = dict(self.environment)
        if not limited and self.can_unpace:
            environment["PULUMI_HOME"] = str(self._unpaced())
        with cloud(self.folder / f"cloud-{name}", Limits() if limited else NO_LIMITS) as its_cloud:
            its_cloud.ask("POST", "/v2/domains", {"name": ZONE})
            its_cloud.take_requests()
            made = Stack(name, self.folder, its_cloud, environment | its_cloud.variables | {"PULUMI_STACK": name})
            made.pulumi("stack", "init", name, "--no-select")
            file = self.folder / f"Pulumi.{name}.yaml"
            file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "config": settings}))
            yield made

    def about(self) -> str:
        """Which engine and which plugin were measured."""
        kind = "drop-in" if self.can_unpace else "official"
        return f"Pulumi CLI {self.tools.version} with the {kind} `{PLUGIN}` plugin; state in files."

    def _unpaced(self) -> Path:
        """A PULUMI_HOME like the toolchain's, whose drop-in sends and polls as fast as it can."""
        home = self.folder / "unpaced"
        if home.exists():
            return home
        for folder in (self.tools.home / "plugins").glob("*-v*"):
            mine = home / "plugins" / folder.name
            mine.mkdir(parents=True)  # the engine passes over linked folders
            for file in folder.iterdir():
                (mine / file.name).symlink_to(file)
        launcher = home / "plugins" / dropins.provider_folder(ROOT, PLUGIN).name / f"pulumi-resource-{PLUGIN}"
        module = f"lab.plugins.{PLUGIN}"
        start = (
            f"import functools, runpy, sys; sys.path.insert(0, {str(ROOT)!r}); from {module} import retry, waiting;"
            f" retry.Pace = functools.partial(retry.Pace, per_minute={UNPACED}); waiting.POLLS_PER_MINUTE = {UNPACED};"
            f" runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
        )
        command = [str(ROOT / ".venv" / "bin" / "python"), "-u", "-P", "-c", start]
        launcher.unlink()
        launcher.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        launcher.chmod(0o755)
        return home


@contextmanager
def paper(progress: Progress) -> Iterator[Paper]:
    """The project in a folder of its own, which is removed at the end."""
    tools = toolchain.ensure(progress)
    folder = Path(tempfile.mkdtemp(prefix="bench-paper-"))
    try:
        for name in ("stacks", "components", ".venv"):
            (folder / name).symlink_to(ROOT / name)
        shutil.copy(PROGRAM, folder / "__main__.py")
        shutil.copy(ROOT / "Pulumi.yaml", folder)
        (folder / IDENTITY).touch(0o600)
        (folder / IDENTITY).write_text(generate().to_json())
        (folder / "state").mkdir()
        storage = object_storage.ensure(
            folder / "spaces", "bench", None, "127.0.0.1", toolchain.versitygw(progress), progress
        )
        yield Paper(folder, tools, _environment(folder, tools) | storage.environment(), progress)
    finally:
        object_storage.stop(folder / "spaces")
        shutil.rmtree(folder)


def _environment(folder: Path, tools: Toolchain) -> dict[str, str]:
    """All that the engine needs and nothing of the caller's stacks."""
    return {
        "PATH": f"{tools.pulumi.parent}:{ROOT / '.venv' / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PULUMI_HOME": str(tools.home),
        "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": secrets.token_urlsafe(16),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DIY_BACKEND_NO_LEGACY_WARNING": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }


@contextmanager
def cloud(folder: Path, limits: Limits) -> Iterator[Cloud]:
    """The API, served by a thread of this process: what it takes is in nobody's measured CPU."""
    folder.mkdir()
    tokens = {name: secrets.token_hex() for name in ("token", "token_read_only")}
    for name, token in tokens.items():
        (folder / name).touch(0o600)
        (folder / name).write_text(token)
    config = {
        "state": str(folder / "state.json"),
        "subnet": SUBNET,
        "port": 0,
        **{name: str(folder / name) for name in tokens},
        "delays": asdict(Delays()),
        "limits": asdict(limits),
        "account": asdict(ACCOUNT),
        "fingerprint": "bench",
    }
    with patch.object(droplets, "DROPLET_ADDRESSES", DROPLETS):
        made = server.build(config, PaperHypervisor(), log=lambda _: None)
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield Cloud(f"http://127.0.0.1:{made.server_address[1]}", tokens["token"])
        finally:
            made.shutdown()
            made.server_close()
            thread.join()
