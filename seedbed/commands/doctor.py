"""Check everything that can go wrong with a stack before it does, and say what to do about each finding.

Exit code 1 if one of them would make `pulumi up` fail.
"""

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.internet.names import GIT
from seedbed import UserError, engine, environment, stackfile
from seedbed.checks import digitalocean, disk, secrets, seed, state, toolchain
from seedbed.commands import up
from seedbed.digitalocean import Api, CloudError, public_address
from seedbed.findings import Finding, Status, fail, ok
from seedbed.stackfile import StackFile
from seedbed.store import StoreError, open_store
from stacks.identity import Identity
from stacks.model import PROJECT
from stacks.settings import Settings, SettingsError
from tools import cache
from tools.dropins import PROVIDERS

NAME = "doctor"
HELP = "check what can go wrong before it does"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stack", metavar="STACK")
    parser.add_argument("--json", action="store_true", help="print the findings as a JSON list")


def run(arguments: argparse.Namespace) -> int:
    stack = stackfile.load(arguments.stack)
    findings = examine(stack, environment.of(stack, os.environ))
    if arguments.json:
        print(json.dumps([{"status": f.status, "title": f.title, "remedy": f.remedy} for f in findings], indent=2))
    else:
        for finding in findings:
            print("\n".join(finding.lines()))
        print(summary(findings))
    return 1 if any(finding.status is Status.FAIL for finding in findings) else 0


def examine(stack: StackFile, variables: Mapping[str, str]) -> list[Finding]:
    """Every check, those that wait for something side by side; findings come in the order of this list."""
    settings_finding, settings = check_settings(stack)
    identity_finding, identity = secrets.check_identity(stack, variables)
    checks: list[Callable[[], list[Finding]]] = [
        lambda: [toolchain.check_cli(variables, stack.root)],
        lambda: toolchain.check_plugins(variables, PROVIDERS),
        lambda: _store(stack, variables),
        lambda: [secrets.check_passphrase(stack, variables)],
        lambda: [identity_finding, settings_finding],
        lambda: _cloud(stack, settings, variables),
        lambda: _init(stack, settings, variables),
        lambda: _hosts(stack, settings, identity, variables),
        lambda: _sealed(stack, settings, identity),
        lambda: _repository(stack, settings, identity),
        lambda: _disks(stack),
    ]
    with ThreadPoolExecutor(len(checks)) as pool:
        return [finding for found in pool.map(lambda check: check(), checks) for finding in found]


def check_settings(stack: StackFile) -> tuple[Finding, Settings | None]:
    """Every problem of the settings at once; the settings come along for the checks that need them."""
    try:
        settings = stackfile.settings(stack)
    except SettingsError as error:
        return fail(
            f"settings: {len(error.problems)} to put right in {stack.path.name}", "\n".join(error.problems)
        ), None
    return ok(f"settings: {stack.path.name} is valid"), settings


def summary(findings: Sequence[Finding]) -> str:
    """The last line."""
    counts = [sum(finding.status is status for finding in findings) for status in Status]
    return f"{counts[0]} ok, {counts[1]} to know about, {counts[2]} to put right"


def _store(stack: StackFile, variables: Mapping[str, str]) -> list[Finding]:
    try:
        findings = state.check_store(open_store(variables))
    except StoreError as error:
        findings = [fail("state store: not known", str(error))]
    if stack.identity_file is None:
        return findings
    hint = "This stack's store is the lab's: `seedbed lab up` starts it."
    return [replace(f, remedy=f"{f.remedy}\n{hint}") if f.status is Status.FAIL else f for f in findings]


def _cloud(stack: StackFile, settings: Settings | None, variables: Mapping[str, str]) -> list[Finding]:
    if settings is None or settings.digitalocean is None:
        return []
    return digitalocean.check_cloud(settings, stack.name, variables, _deployed(stack, variables))


def _init(stack: StackFile, settings: Settings | None, variables: Mapping[str, str]) -> list[Finding]:
    if settings is None or settings.cluster.init in map(settings.full_name, settings.machines):
        return []
    return state.check_init(settings, _deployed(stack, variables) or [])


def _deployed(stack: StackFile, variables: Mapping[str, str]) -> list[dict[str, Any]] | None:
    """The resources of the state; None where there is no stack, or no store, of which the store's check tells."""
    try:
        deployment = engine.exported(stack, variables).get("deployment") or {}
    except UserError:
        return None
    resources: list[dict[str, Any]] = deployment.get("resources") or []
    return resources


def _hosts(
    stack: StackFile, settings: Settings | None, identity: Identity | None, variables: Mapping[str, str]
) -> list[Finding]:
    # Imported here: asyncssh takes a fifth of a second, which other commands need not spend.
    from seedbed.checks.hosts import Target, check_hosts

    if settings is None or identity is None:
        return [fail("hosts: not asked", "Put settings and identity right first: they say which hosts and which keys.")]
    try:
        addresses = _addresses(stack, settings, variables)
    except CloudError as error:
        return [fail("hosts: not asked", f"Where they are is not known: {error}")]
    targets = [
        Target(
            name=settings.full_name(name),
            address=addresses[name],
            port=settings.ssh.port,
            user=settings.ssh.user,
            host_key=machine.host_key or identity.host_key(settings.full_name(name)).public,
        )
        for name, machine in sorted(settings.machines.items())
        if name in addresses
    ]
    return check_hosts(targets, identity.operator_key, stack.name)


def _addresses(stack: StackFile, settings: Settings, variables: Mapping[str, str]) -> dict[str, str]:
    """Where the machines are that there are. Raises CloudError."""
    if settings.digitalocean is None:
        return {name: str(machine.address) for name, machine in settings.machines.items()}
    api = Api.of(variables)
    if api is None:
        return {}  # said by the check of the cloud
    there = {droplet["name"]: public_address(droplet) for droplet in api.droplets(f"{PROJECT}-{stack.name}")}
    found = {name: there.get(settings.full_name(name)) for name in settings.machines}
    return {name: address for name, address in found.items() if address is not None}


def _sealed(stack: StackFile, settings: Settings | None, identity: Identity | None) -> list[Finding]:
    if settings is None or settings.seed is None or identity is None:
        return []
    return seed.check_sealed(settings.seed, identity, stack)


def _repository(stack: StackFile, settings: Settings | None, identity: Identity | None) -> list[Finding]:
    if settings is None or settings.seed is None or identity is None:
        return []
    repository = settings.seed.repository
    # The lab's names are known to its hosts only; this machine goes to the address.
    on_the_lab = stack.identity_file is not None and f"@{GIT}" in repository.url
    alias = (up.lab_of(stack).services_address, GIT) if on_the_lab else None
    key = identity.deploy_key(repository.deploy_key).private
    return [seed.check_repository(repository, key, stack.name, alias)]


def _disks(stack: StackFile) -> list[Finding]:
    folders: list[tuple[str, Path]] = [("the cache", cache.root())]
    if stack.identity_file is not None:
        folders.append(("the lab", stack.identity_file.parent))
    return [disk.check_folder(what, folder) for what, folder in folders]
