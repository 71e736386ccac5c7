"""What a plan is bound to: all that it was made from, as it is now, and a line for each part that is another than then."""

import hashlib
import hmac
import json
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict

from seedbed import UserError, deployment, sources
from seedbed.deployment import Deployment
from seedbed.sources import Sources
from seedbed.stackfile import StackFile
from stacks.files import PROJECT, read_document
from stacks.identity import Identity
from tools import dropins

SEAL, MARK = "seedbed review seal 1", "seedbed review identity 1"
"""What the two keys of a bundle are derived for: the one that seals it, and the one that knows an identity again."""

PACKAGES = ("pulumi", *(f"pulumi-{name}" for name in dropins.PROVIDERS), "pydantic", "PyYAML", "cryptography")
"""The Python packages that the program is written with."""

WHERE = ("endpoint", "region", "awssdk_region", "prefix")
"""The parameters of a store's url by which it is another store. Source: gocloud.dev aws/aws.go, blob/blob.go"""

VERSION_SECONDS = 30
SHOWN = 60
"""Letters of a setting's value in a line."""


class Settings(BaseModel):
    """The stack's file: `values` are its settings by their paths, as JSON, of secrets a digest of their ciphertext; `files`
    are digests of the files outside git that they name; `identity` knows the identity again and tells nobody what it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    values: dict[str, str]
    files: dict[str, str]
    identity: str


class Binding(BaseModel):
    """All that a plan was made from. `store` is where the state is, without what opens it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: str
    state: Deployment
    sources: Sources
    versions: dict[str, str]
    settings: Settings


def seal_key(identity: Identity) -> bytes:
    """The key that seals a stack's bundles, which only those have who have the stack's identity."""
    return _derived(identity, SEAL)


def settings(stack: StackFile, identity: Identity) -> Settings:
    """The stack's settings as its file has them now. Raises SettingsError where it is not a stack's file."""
    document = read_document(stack.path)
    document.setdefault("config", {})
    values = dict(_leaves((), {key: value for key, value in document.items() if key != "config"}))
    values |= dict(_leaves((), document["config"] or {}))
    return Settings(
        values=values,
        files=dict(_named_files(document["config"] or {}, stack.root)),
        identity=hmac.new(_derived(identity, MARK), identity.to_json().encode(), hashlib.sha256).hexdigest(),
    )


def versions(pulumi: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Of all that makes the plan beside the program: the CLI (`pulumi`, as it says), Python, the packages, the plugins."""
    found = {"pulumi": pulumi, "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[f"package {package}"] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[f"package {package}"] = "none"
    plugins = Path(environment.get("PULUMI_HOME") or Path.home() / ".pulumi") / "plugins"
    for name in dropins.PROVIDERS:
        version = found[f"package pulumi-{name}"]
        file = plugins / f"resource-{name}-v{version}" / f"pulumi-resource-{name}"
        found[f"plugin {name}"] = version + _kind(file)
    cli = shutil.which("pulumi", path=environment.get("PATH"))
    if cli is not None:
        found["language host"] = f"of {pulumi}{_kind(Path(cli).resolve().parent / 'pulumi-language-python')}"
    return found


def pulumi_version(environment: Mapping[str, str]) -> str:
    """What `pulumi version` says. Raises UserError where there is none."""
    try:
        done = subprocess.run(
            ["pulumi", "version"],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=VERSION_SECONDS,
            check=True,
        )
    except FileNotFoundError:
        raise UserError("there is no `pulumi` on PATH: `make ready` brings one") from None
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"`pulumi version` fails: {error}") from None
    return done.stdout.strip()


def store(environment: Mapping[str, str]) -> str:
    """Where the state is, for a person: of the url's query only what leads to another store, and nothing that opens it.

    Buckets of two servers may have one name, and the state in one be a copy of that in the other. A lab's server has the same
    port for the lab's life (lab/internet/s3.py), so a plan holds when the lab is stopped and started.
    """
    url, _, query = environment.get("PULUMI_BACKEND_URL", "").partition("?")
    where = [(name, re.sub(r"//.*@", "//", value)) for name, value in parse_qsl(query) if name in WHERE]
    return (
        re.sub(r"//[^/@]*@", "//", url)
        + "?" * bool(where)
        + "&".join(f"{name}={value}" for name, value in sorted(where))
    )


def differences(then: Binding, now: Binding, root: Path) -> list[str]:
    """A line for each part that is another than then, with what changed since; none where the plan still holds.

    `root` is the clone, whose history says how far apart two commits are.
    """
    lines = []
    if then.store != now.store:
        lines.append(f"store: {then.store} → {now.store}")
    if changed := deployment.difference(then.state, now.state):
        lines.append(f"state: {changed} since the review")
    lines += sources.differences(then.sources, now.sources, root)
    lines += [f"versions: {name} {old} → {new}" for name, old, new in _changed(then.versions, now.versions)]
    lines += [
        f"settings: {key} {_clear(old)} → {_clear(new)}"
        for key, old, new in _changed(then.settings.values, now.settings.values)
    ]
    lines += [f"settings: the file {path} changed" for path, _, _ in _changed(then.settings.files, now.settings.files)]
    if then.settings.identity != now.settings.identity:
        lines.append("settings: the stack's identity changed")
    return lines


def _derived(identity: Identity, purpose: str) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=None, info=purpose.encode()).derive(identity.host_key_seed.encode())


def _leaves(path: tuple[str, ...], value: object) -> Iterator[tuple[str, str]]:
    """Every value by its path as errors name it: `seedbed:k3s.version`. An empty map or list is a value."""
    if isinstance(value, Mapping) and value and set(value) != {"secure"}:
        for key, inner in value.items():
            yield from _leaves((*path, str(key)), inner)
    elif isinstance(value, Mapping) and "secure" in value:
        yield ".".join(path), f"secret {hashlib.sha256(str(value['secure']).encode()).hexdigest()[:16]}"
    else:
        yield ".".join(path), json.dumps(value, sort_keys=True, default=str)


def _named_files(config: Mapping[str, Any], root: Path) -> Iterator[tuple[str, str]]:
    """The files outside the program's sources that settings name; the identity's is known by a keyed digest."""
    k3s, seed = _map(config.get(f"{PROJECT}:k3s")), _map(config.get(f"{PROJECT}:seed"))
    repository = _map(seed.get("repository"))
    for named in (k3s.get("sha256File"), repository.get("knownHostsFile"), seed.get("tree")):
        if named is not None:
            yield str(named), _digest(root / str(named))


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _digest(path: Path) -> str:
    """Of a file, or of all files and links of a folder; "" where there is none."""
    found = path.rglob("*") if path.is_dir() else [path]
    files = sorted(file for file in found if file.is_file() or file.is_symlink())
    paths = [file.relative_to(path.parent).as_posix() for file in files]
    bound = sources.of_files(path.parent, "", (), [one for one in paths if "/.git/" not in f"/{one}"])
    return bound.digest if bound.files else ""


def _kind(file: Path) -> str:
    return " (drop-in)" if dropins.is_drop_in(file) else ""


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> list[tuple[str, str, str]]:
    keys = sorted({*then, *now})
    return [(key, then.get(key, "none"), now.get(key, "none")) for key in keys if then.get(key) != now.get(key)]


def _clear(value: str) -> str:
    return value if len(value) <= SHOWN else f"{value[:SHOWN]}…"
