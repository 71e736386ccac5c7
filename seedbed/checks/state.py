"""The store that holds the state: reachable, writable, the right one, and of one mind about the time."""

import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from seedbed.deployment import NODE
from seedbed.findings import Finding, fail, ok, warn
from seedbed.store import META, Store, StoreError
from stacks.model import PROJECT
from stacks.settings import Role, Settings

MAX_SKEW_SECONDS = 60


def check_store(store: Store, now: datetime | None = None) -> list[Finding]:
    """Puts, copies, lists and deletes a scratch key, then looks for Pulumi's meta file and at the clock.

    Reading alone proves nothing: releases of the CLI have been refused only when they wrote (pulumi/pulumi#23764).
    """
    scratch = f".pulumi/.seedbed-doctor-{secrets.token_hex(6)}"
    copy = f"{scratch}-copy"
    step = "put"
    try:
        store.put(scratch, b"seedbed doctor\n")
        step = "copy"
        store.copy(scratch, copy)
        step = "list"
        seen = store.list(scratch)
        step = "delete"
        store.delete(copy)
        store.delete(scratch)
        left = store.list(scratch)
    except StoreError as error:
        findings = [fail(f"state store {store.name}: cannot {step} a scratch key", str(error))]
        return findings + check_clock(store, now) + _clean_up(store, step, scratch, copy)
    if sorted(seen) != sorted([scratch, copy]) or left:
        findings = [
            fail(
                f"state store {store.name}: lists keys late",
                "Pulumi's lock needs a store that lists a key as soon as it is put, and no longer once it is deleted; "
                "take another store",
            )
        ]
    else:
        findings = [ok(f"state store {store.name}: put, copy, list and delete work")]
    return [*findings, check_meta(store), *check_clock(store, now)]


def check_meta(store: Store) -> Finding:
    """A store without Pulumi's meta file is new or mistyped, and the CLI would silently start afresh in it."""
    try:
        present = META in store.list(META)
    except StoreError as error:
        return fail(f"state store {store.name}: cannot look for {META}", str(error))
    if present:
        return ok(f"state store {store.name}: is a Pulumi store")
    return fail(
        f"state store {store.name}: empty or mistyped: it has no {META}",
        "Pulumi would start a new state here, beside machines that exist. Correct bucket or prefix in "
        "PULUMI_BACKEND_URL, or, for a new store, run `pulumi stack init` there on purpose.",
    )


def check_clock(store: Store, now: datetime | None = None) -> list[Finding]:
    """Compares this machine's clock with the store's. Nothing where the store has none of its own."""
    theirs = store.clock()
    if theirs is None:
        return []
    skew = ((now or datetime.now(UTC)) - theirs).total_seconds()
    if abs(skew) <= MAX_SKEW_SECONDS:
        return [ok("clock: agrees with the state store's")]
    return [
        fail(
            f"clock: {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the state store's",
            "Certificates and signed requests would be refused. Set this machine's clock (timedatectl set-ntp true).",
        )
    ]


def check_init(settings: Settings, deployed: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Whether there is a server that makes the cluster, where none of the stack's machines is among the `deployed` resources."""
    init = settings.cluster.init
    servers = [settings.full_name(name) for name in settings.names(Role.SERVER)]
    if init in servers or any(resource["type"] == NODE for resource in deployed):
        return []
    return [
        fail(
            f"settings: {init} is to make the cluster, and no machine is {init} any more",
            f"The state has no machine, so {servers[0]} would look for a cluster to join. Where it is there: do not go on without its "
            f"state. Where it is lost and shall be made anew: set {PROJECT}:cluster.init to {servers[0]}.",
        )
    ]


def _clean_up(store: Store, step: str, *keys: str) -> list[Finding]:
    """Takes away what a half-done try left; says so where it cannot."""
    if step == "put":
        return []
    try:
        for key in store.list(keys[0]):
            store.delete(key)
    except StoreError:
        return [warn(f"state store {store.name}: a scratch key may be left", f"Delete {' and '.join(keys)} by hand.")]
    return []
