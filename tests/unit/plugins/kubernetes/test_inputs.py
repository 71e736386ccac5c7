"""Inputs as they are checked: names, namespaces, secrets, and what is refused."""

import base64
from typing import Any

import pytest

from lab.plugins.kubernetes import objects
from lab.plugins.kubernetes.check import Naming, check
from lab.plugins.protocol import PluginError
from lab.plugins.protocol.values import UNKNOWN, Properties, bare, is_secret, secret

SEED = b"seed"


def urn(type_: str, name: str = "n") -> str:
    return f"urn:pulumi:s::p::seedbed:Seed${type_}::{name}"


MAP = urn("kubernetes:core/v1:ConfigMap")


def checked(given: Properties, old: Properties | None = None, of: str = MAP, **naming: Any) -> Properties:
    return check(of, old or {}, given, Naming(**{"seed": SEED, **naming}), "home")


def test_version_and_kind_come_from_the_type() -> None:
    kinds = {
        type_: (objects.kind_of_urn(urn(type_)).api_version, objects.kind_of_urn(urn(type_)).name)
        for type_ in ("kubernetes:core/v1:Secret", "kubernetes:argoproj.io/v1alpha1:AppProject")
    }
    assert list(kinds.values()) == [("v1", "Secret"), ("argoproj.io/v1alpha1", "AppProject")]
    assert checked({"metadata": {"name": "a"}})["apiVersion"] == "v1"


@pytest.mark.parametrize(
    "type_",
    [
        "kubernetes:apps/v1:Deployment",
        "kubernetes:core/v1:Service",
        "kubernetes:core/v1:ConfigMapPatch",
        "kubernetes:core/v1:ConfigMapList",
        "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition",
        "kubernetes:helm.sh/v3:Release",
        "kubernetes:yaml/v2:ConfigFile",
    ],
)
def test_what_the_official_plugin_waits_for_or_renders_is_refused_with_the_remedy(type_: str) -> None:
    with pytest.raises(PluginError, match=r"drop-in for the kubernetes plugin.*pulumi plugin install"):
        checked({"metadata": {"name": "a"}}, of=urn(type_))


def test_a_custom_kind_may_have_the_name_of_a_built_in_one() -> None:
    found = checked({"metadata": {"name": "a"}}, of=urn("kubernetes:serving.knative.dev/v1:Service"))
    assert found["apiVersion"] == "serving.knative.dev/v1"


def test_an_automatic_name_comes_from_the_engines_seed_and_is_marked() -> None:
    names = [checked({})["metadata"]["name"] for _ in range(2)]
    assert names[0] == names[1] != checked({}, seed=b"another")["metadata"]["name"]
    assert names[0].startswith("n-")
    assert checked({})["metadata"]["annotations"] == {"pulumi.com/autonamed": "true"}


def test_an_automatic_name_stays_and_one_that_was_given_once_does_not_come_back() -> None:
    first = checked({})
    again = checked({"metadata": {"labels": {"a": "b"}}}, first)
    assert again["metadata"]["name"] == first["metadata"]["name"]
    assert again["metadata"]["annotations"] == {"pulumi.com/autonamed": "true"}
    assert "name" not in checked({}, checked({"metadata": {"name": "given"}}))["metadata"]


def test_the_engines_own_naming_is_followed() -> None:
    assert checked({}, proposed="proposed")["metadata"]["name"] == "proposed"
    with pytest.raises(PluginError, match="autonaming is disabled"):
        checked({}, disabled=True)
    with pytest.raises(PluginError, match="generateName"):
        checked({"metadata": {"generateName": "a-"}})


def test_what_is_not_known_yet_gets_no_name_and_no_namespace() -> None:
    assert checked({"metadata": UNKNOWN})["metadata"] == UNKNOWN
    metadata = checked({"metadata": {"name": UNKNOWN, "namespace": secret(UNKNOWN)}})["metadata"]
    assert bare(metadata) == {"name": UNKNOWN, "namespace": UNKNOWN}


def test_namespaces_are_for_kinds_that_have_them() -> None:
    assert checked({"metadata": {"name": "a"}})["metadata"]["namespace"] == "home"
    role = checked({"metadata": {"name": "a"}}, of=urn("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole"))
    assert "namespace" not in role["metadata"]


def test_string_data_goes_over_data_and_both_are_secret() -> None:
    given = {"metadata": {"name": "a"}, "data": {"a": "eA==", "b": "eQ=\n="}, "stringData": {"a": "text"}}
    found = checked(given, of=urn("kubernetes:core/v1:Secret"))
    assert "stringData" not in found
    assert is_secret(found["data"])
    assert bare(found["data"]) == {"a": base64.b64encode(b"text").decode(), "b": "eQ=\n="}
    alone = checked(
        {"metadata": {"name": "a"}, "data": {"b": "eQ=\n=", "c": "no base64"}}, of=urn("kubernetes:core/v1:Secret")
    )
    assert bare(alone["data"]) == {"b": "eQ==", "c": "no base64"}


def test_string_data_that_is_not_known_yet_waits() -> None:
    found = checked({"metadata": {"name": "a"}, "stringData": {"a": UNKNOWN}}, of=urn("kubernetes:core/v1:Secret"))
    assert bare(found["stringData"]) == {"a": UNKNOWN}


def test_secrets_are_marked_where_they_were_given_and_lists_as_a_whole() -> None:
    found = checked(
        {"metadata": {"name": "a"}, "data": {"open": "a", "hidden": secret("b")}, "list": [{"a": secret("b")}, 1.0]}
    )
    assert found["data"] == {"open": "a", "hidden": secret("b")}
    assert found["list"] == secret([{"a": "b"}, 1.0])


def test_what_only_the_server_sets_and_what_is_empty_goes() -> None:
    metadata = {"name": "a", "uid": "u", "resourceVersion": "1", "managedFields": [], "labels": {}}
    found = checked({"metadata": metadata, "data": {}, "immutable": None})
    assert found == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "home"}}


def test_numbers_go_to_the_server_as_integers_where_they_are() -> None:
    sent = objects.for_server({"a": [1.0, 1.5, True, "1"]})
    assert repr(sent) == "{'a': [1, 1.5, True, '1']}"


def test_outputs_keep_the_inputs_apart_and_give_them_back() -> None:
    inputs = {"kind": "Widget", "spec": {"a": "b", "c": "d"}}
    live = {**inputs, "status": {"ready": True}}
    stored = objects.checkpoint(inputs, live, {"spec": {"a": secret("b")}}, "v1", "m")
    assert stored["spec"] == {"a": secret("b"), "c": "d"}
    assert stored["__inputs"]["spec"] == {"a": secret("b"), "c": "d"}
    assert (stored["__initialApiVersion"], stored["__fieldManager"]) == ("v1", "m")
    assert objects.from_checkpoint(stored) == (inputs, live)
