"""The seed without Pulumi: the docs' two lines, on a cluster that nothing was planted in, give what Pulumi gives."""

from typing import Any

from tests.lab.seeding import MANAGER, TRACKING, planted
from tests.lab.stacks import Stack

OF_THE_CLUSTER = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation")
REVISION = "deployment.kubernetes.io/revision"


def test_the_two_lines_give_the_objects_that_pulumi_gives_field_by_field(stack: Stack, by_hand: Stack) -> None:
    pulumis, ours = planted(stack), planted(by_hand)
    assert len(ours) > 60
    assert sorted(ours) == sorted(pulumis)
    for name in ours:
        applied = [
            entry["manager"] for entry in ours[name]["metadata"]["managedFields"] if entry["operation"] == "Apply"
        ]
        assert applied == [MANAGER], name
        assert fields(ours[name]) == fields(pulumis[name]), name
        assert owned(ours[name]) == owned(pulumis[name]), name


def fields(thing: dict[str, Any]) -> dict[str, Any]:
    """An object without what each cluster writes for itself."""
    metadata = {key: value for key, value in thing["metadata"].items() if key not in OF_THE_CLUSTER}
    annotations = {k: v for k, v in metadata.pop("annotations", {}).items() if k not in (TRACKING, REVISION)}
    kept = {key: value for key, value in thing.items() if key not in ("metadata", "status")}
    if thing["kind"] == "Service":
        kept["spec"] = {key: value for key, value in kept["spec"].items() if key not in ("clusterIP", "clusterIPs")}
    if thing["kind"] == "Secret":
        kept.pop("data", None)  # ArgoCD fills it when it starts
    return {**kept, "metadata": metadata, "annotations": annotations}


def owned(thing: dict[str, Any]) -> dict[str, Any]:
    """The fields that were applied under ArgoCD's name, but for its own mark."""
    [entry] = [entry for entry in thing["metadata"]["managedFields"] if entry["manager"] == MANAGER]
    assert entry["operation"] == "Apply"
    metadata = dict(entry["fieldsV1"].get("f:metadata", {}))
    annotations = {k: v for k, v in metadata.pop("f:annotations", {}).items() if k != f"f:{TRACKING}"}
    return {**entry["fieldsV1"], "f:metadata": metadata, "f:annotations": {**annotations, ".": {}}}


def test_every_pod_of_the_seed_becomes_ready(by_hand: Stack) -> None:
    for namespace in ("kube-system", "argocd"):
        by_hand.kubectl(
            "wait", "-n", namespace, "--for=condition=Ready", "pods", "--all", "--timeout=120s", timeout=130
        )
