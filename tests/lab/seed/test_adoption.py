"""ArgoCD drives itself by the manifests that it was planted with: it owns them alone and finds nothing to do."""

import json
import time
from typing import Any

import pytest

from seedbed.applications import APPLICATIONS, REFRESH
from tests.lab.seeding import MANAGER, PIECES, TRACKING, Objects, api, planted, until
from tests.lab.stacks import Stack

LOOKS = 3
"""Refreshes after which a fight of two writers would have left its traces."""


@pytest.fixture(scope="module")
def objects(stack: Stack) -> Objects:
    return planted(stack)


def application(stack: Stack, name: str) -> dict[str, Any]:
    return api(stack).get(f"{APPLICATIONS}/{name}")


@pytest.mark.parametrize("piece", PIECES)
def test_what_was_planted_is_in_sync_to_the_last_object(stack: Stack, piece: str) -> None:
    status = application(stack, piece)["status"]
    assert status["sync"]["status"] == "Synced"
    assert len(status["resources"]) > 8
    assert {resource["status"] for resource in status["resources"]} == {"Synced"}


def test_every_planted_object_carries_the_tracking_id_of_its_application(objects: Objects) -> None:
    assert len(objects) > 60
    owners = {
        name: thing["metadata"].get("annotations", {}).get(TRACKING, "").partition(":")[0]
        for name, thing in objects.items()
        if thing["kind"] != "CustomResourceDefinition"  # ArgoCD never marks these
    }
    assert set(owners.values()) == set(PIECES), owners


def test_nobody_but_argocd_owns_a_field_of_what_was_planted(objects: Objects) -> None:
    for name, thing in objects.items():
        entries = thing["metadata"]["managedFields"]
        [mine] = [entry for entry in entries if entry["manager"] == MANAGER]
        assert mine["operation"] == "Apply", name
        for entry in entries:
            # ArgoCD fills its Secrets when it starts, and controllers write what they have seen.
            if entry is not mine and not name.startswith("Secret "):
                assert set(entry["fieldsV1"]) <= {"f:metadata", "f:status"}, (name, entry["manager"])


def test_argocd_does_not_fight_with_itself(stack: Stack) -> None:
    """What it applies stays as it is, look after look: no sync follows, and no Deployment changes."""
    before = traces(stack)
    for _ in range(LOOKS):
        look_again(stack)
        time.sleep(1)  # a sync would begin now
    assert traces(stack) == before
    assert {application(stack, piece)["status"]["sync"]["status"] for piece in PIECES} == {"Synced"}


def look_again(stack: Stack) -> None:
    """A hard refresh: rendered and compared anew."""
    path = {piece: f"{APPLICATIONS}/{piece}" for piece in PIECES}
    for piece in PIECES:
        api(stack).patch(path[piece], {"metadata": {"annotations": {REFRESH: "hard"}}})

    def looked() -> bool:
        return not any(REFRESH in api(stack).get(path[piece])["metadata"].get("annotations", {}) for piece in PIECES)

    until(looked, 90, lambda: "ArgoCD has not answered a hard refresh")


def traces(stack: Stack) -> dict[str, object]:
    """The last sync of each Application, and each Deployment's generation and revision."""
    synced = {piece: application(stack, piece)["status"]["operationState"]["startedAt"] for piece in PIECES}
    kinds = "deployments,statefulsets,replicasets"
    found = [
        *json.loads(stack.kubectl("get", kinds, "-n", "argocd", "-o", "json"))["items"],
        *json.loads(stack.kubectl("get", kinds, "-n", "kube-system", "-o", "json"))["items"],
    ]
    grown = {f"{item['kind']} {item['metadata']['name']}": item["metadata"]["generation"] for item in found}
    assert len(grown) > 12
    return {**synced, **grown}
