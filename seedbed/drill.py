"""What of a cluster has to survive that everything is lost but identity and git: looked at before, compared afterwards."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from seedbed import UserError
from seedbed.applications import SHORT_REVISION, Application, applications, explained
from seedbed.cluster import nodes
from seedbed.kube import Api, columns, section

POLL_SECONDS = 1.0

SEALED_SECRETS = "/apis/bitnami.com/v1alpha1/sealedsecrets"
CA = "/api/v1/namespaces/kube-system/configmaps/kube-root-ca.crt"


@dataclass(frozen=True)
class Sealed:
    """A SealedSecret by the digests of what is sealed and of what it opened to; `opened` is empty where it did not."""

    sealed: str
    opened: str


@dataclass(frozen=True)
class Look:
    """What a cluster is recognised by. It holds digests of secrets, and no secret.

    `revisions` has the commit of each Application by name, `sealed` the SealedSecrets by namespace/name.
    """

    authority: str
    nodes: frozenset[str]
    revisions: Mapping[str, str]
    sealed: Mapping[str, Sealed]


@dataclass(frozen=True)
class Check:
    """One thing that was compared, and how it came out."""

    what: str
    passed: bool
    said: str


def whole(api: Api, timeout: float, say: Callable[[str], None], poll: float = POLL_SECONDS) -> Look:
    """The cluster before anything is lost.

    What is not whole yet, such as a cluster that has just been rebooted, is waited for at most `timeout` seconds. Raises
    UserError where it is not whole then, with which nothing could be compared.
    """
    deadline = time.monotonic() + timeout
    last: list[str] = []
    while True:
        found = look(api)
        problems = _not_whole(api, found)
        if not problems:
            return found
        if time.monotonic() >= deadline:
            raise UserError(
                "the drill compares with a cluster that is whole, and this one is not; nothing was touched. "
                "Put right first:\n" + "\n".join(f"  {problem}" for problem in problems)
            )
        if problems != last:
            say(f"waiting: {'; '.join(problems)}")
            last = problems
        time.sleep(poll)


def _not_whole(api: Api, found: Look) -> list[str]:
    lame = [node.name for node in nodes(api) if not node.ready]
    ill = [
        f"{application.name} ({application.sync}, {application.health})"
        for application in applications(api)
        if not (application.synced and application.healthy)
    ]
    shut = [name for name, sealed in found.sealed.items() if not sealed.opened]
    problems = [f"node {name} is not Ready" for name in lame]
    problems += [f"application {name} is not Synced and Healthy" for name in ill]
    return problems + [f"SealedSecret {name} is not opened" for name in shut]


def look(api: Api) -> Look:
    """Raises UserError where the API does not answer."""
    authority = str(section(api.find(CA) or {}, "data").get("ca.crt", ""))
    sealed = {}
    for item in api.items(SEALED_SECRETS):
        metadata = section(item, "metadata")
        namespace, name = str(metadata.get("namespace", "")), str(metadata.get("name", ""))
        secret = api.find(f"/api/v1/namespaces/{namespace}/secrets/{name}")
        opened = section(secret or {}, "data")
        sealed[f"{namespace}/{name}"] = Sealed(
            _digest(section(item, "spec", "encryptedData")), _digest(opened) if opened else ""
        )
    return Look(
        authority=_digest(authority),
        nodes=frozenset(node.name for node in nodes(api)),
        revisions={application.name: application.revision for application in applications(api)},
        sealed=sealed,
    )


def settle(api: Api, before: Look, timeout: float, say: Callable[[str], None], poll: float = POLL_SECONDS) -> None:
    """Waits at most `timeout` seconds for what was Synced, Healthy and open before to be so again."""
    deadline = time.monotonic() + timeout
    last: list[str] = []
    while True:
        found = {application.name: application for application in applications(api)}
        waiting = [
            f"{name} ({found[name].sync}, {found[name].health})" if name in found else f"{name} (not there)"
            for name in before.revisions
            if name not in found or not (found[name].synced and found[name].healthy)
        ]
        opened = look(api).sealed
        waiting += [f"SealedSecret {name}" for name in before.sealed if name not in opened or not opened[name].opened]
        if not waiting:
            return
        if waiting != last:
            say(f"waiting for {', '.join(waiting)}")
            last = waiting
        if time.monotonic() >= deadline:
            return
        time.sleep(poll)


def compare(before: Look, api: Api, saved: Api) -> list[Check]:
    """The checks, in the order in which a person asks; `saved` logs in with what was kept from before.

    Raises UserError where `api` does not answer.
    """
    after = look(api)
    found = {application.name: application for application in explained(api, applications(api))}
    lame = sorted(before.nodes - {node.name for node in nodes(api) if node.ready})
    same_names = before.sealed.keys() & after.sealed.keys()
    resealed = sorted(name for name in same_names if before.sealed[name].sealed != after.sealed[name].sealed)
    changed = sorted(name for name in before.sealed if _opened(after, name) != before.sealed[name].opened)
    return [
        _kubeconfig(saved),
        Check(
            "certificate authority",
            after.authority == before.authority,
            "the same" if after.authority == before.authority else "another one",
        ),
        _all("nodes", len(before.nodes), "Ready", lame),
        _applications(before, found, "Synced", lambda one: one.synced),
        _commits(before, after),
        _applications(before, found, "Healthy", lambda one: one.healthy),
        _all("SealedSecrets in git", len(before.sealed), "as they were", resealed),
        _all("their values", len(before.sealed), "as they were", changed),
    ]


def table(checks: list[Check]) -> list[str]:
    """The checks as lines of text."""
    return columns([("ok" if check.passed else "FAIL", check.what, check.said) for check in checks])


def _kubeconfig(saved: Api) -> Check:
    try:
        count = len(nodes(saved))
    except UserError as error:
        return Check("kubeconfig of before", False, str(error))
    return Check("kubeconfig of before", True, f"lets in, and shows {count} nodes")


def _all(what: str, count: int, state: str, others: list[str]) -> Check:
    said = f"{count} {state}" if not others else f"{count - len(others)} of {count} {state}; not {', '.join(others)}"
    return Check(what, not others, said)


def _applications(
    before: Look, found: Mapping[str, Application], state: str, test: Callable[[Application], bool]
) -> Check:
    others = []
    for name in before.revisions:
        application = found.get(name)
        if application is None:
            others.append(f"{name} (not there)")
        elif not test(application):
            others.append(f"{name} ({application.message or f'{application.sync}, {application.health}'})")
    return _all(f"applications {state}", len(before.revisions), state, others)


def _commits(before: Look, after: Look) -> Check:
    others = [
        f"{name} ({revision[:SHORT_REVISION] or 'none'}, now {after.revisions.get(name, '')[:SHORT_REVISION] or 'none'})"
        for name, revision in before.revisions.items()
        if after.revisions.get(name) != revision
    ]
    return _all("their commits", len(before.revisions), "the same", others)


def _opened(found: Look, name: str) -> str:
    return found.sealed[name].opened if name in found.sealed else ""


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
