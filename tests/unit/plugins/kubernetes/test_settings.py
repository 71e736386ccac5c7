"""The provider's settings, and when another cluster is meant."""

import json
from pathlib import Path
from typing import Any

import pytest

from lab.plugins.kubernetes import settings
from lab.plugins.kubernetes.settings import ProviderDiff, diff, from_variables
from lab.plugins.protocol import PluginError
from lab.plugins.protocol.values import UNKNOWN


def kubeconfig(server: str = "https://a:6443", **context: Any) -> str:
    return json.dumps(
        {
            "current-context": "default",
            "clusters": [
                {"name": "c", "cluster": {"server": server}},
                {"name": "d", "cluster": {"server": "https://d"}},
            ],
            "contexts": [
                {"name": "default", "context": {"cluster": "c", **context}},
                {"name": "other", "context": {"cluster": "d"}},
            ],
        }
    )


def variables(**values: str) -> dict[str, str]:
    return {f"kubernetes:config:{key}": value for key, value in values.items()}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    return tmp_path


def test_flags_come_from_the_provider_and_then_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_K8S_DELETE_UNREACHABLE", "true")
    monkeypatch.setenv("PULUMI_K8S_UPSERT_EXISTING_OBJECTS", "true")
    found = from_variables(variables(upsertExistingObjects="false", enableSecretMutable="true"))
    assert (found.delete_unreachable, found.upsert, found.secrets_mutable, found.config_maps_mutable) == (
        True,
        False,
        True,
        False,
    )


def test_the_namespace_is_the_providers_or_the_contexts_or_default() -> None:
    spoken = kubeconfig(namespace="home")
    assert from_variables(variables(kubeconfig=spoken, namespace="own")).namespace == "own"
    assert from_variables(variables(kubeconfig=spoken)).namespace == "home"
    assert from_variables(variables(kubeconfig=kubeconfig())).namespace == "default"
    assert from_variables(variables(kubeconfig=spoken, context="other")).namespace == "default"


def test_the_server_is_that_of_the_chosen_context_and_cluster() -> None:
    servers = [
        from_variables(variables(kubeconfig=kubeconfig(), **chosen)).kubeconfig.server
        for chosen in ({}, {"context": "other"}, {"cluster": "d"})
    ]
    assert servers == ["https://a:6443", "https://d", "https://d"]


def test_a_kubeconfig_may_be_a_path_or_the_users_own(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = environment / "config"
    file.write_text(kubeconfig())
    assert from_variables(variables(kubeconfig=str(file))).kubeconfig.server == "https://a:6443"
    monkeypatch.setenv("KUBECONFIG", f"{environment / 'missing'}:{file}")
    assert from_variables({}).kubeconfig.server == "https://a:6443"


@pytest.mark.parametrize("text", ["a: [hidden", "hidden", "- hidden", "\x00hidden", "apiVersion: hidden"])
def test_what_is_no_kubeconfig_is_kept_as_a_reason_without_its_text(text: str) -> None:
    found = from_variables(variables(kubeconfig=text)).kubeconfig
    assert "kubeconfig" in found.reason
    assert "hidden" not in found.reason
    assert found.server == ""


def test_a_context_that_is_not_there_is_a_reason() -> None:
    assert "'nowhere'" in from_variables(variables(kubeconfig=kubeconfig(), context="nowhere")).kubeconfig.reason


A, B = {"kubeconfig": kubeconfig()}, {"kubeconfig": kubeconfig("https://b:6443")}
ONE, TWO = {"clusterIdentifier": "one"}, {"clusterIdentifier": "two"}


@pytest.mark.parametrize(
    ("old", "new", "changed", "replacing"),
    [
        (A, A, [], []),
        (A, {**A, "namespace": "x"}, ["namespace"], []),
        (A, B, ["kubeconfig"], ["kubeconfig"]),
        (A, {"kubeconfig": kubeconfig(namespace="x")}, ["kubeconfig"], []),
        (A, {**A, "context": "other"}, ["context"], ["context"]),
        (A, {"kubeconfig": UNKNOWN}, ["kubeconfig"], ["kubeconfig"]),
        ({**A, **ONE}, {**B, **ONE}, ["kubeconfig"], []),
        ({**A, **ONE}, {"kubeconfig": UNKNOWN, **ONE}, ["kubeconfig"], []),
        ({**A, **ONE}, {**A, **TWO}, ["clusterIdentifier"], ["clusterIdentifier"]),
        ({**A, **ONE}, A, ["clusterIdentifier"], []),
        (A, {**A, **ONE}, ["clusterIdentifier"], []),
        (A, {**A, "clusterIdentifier": UNKNOWN}, ["clusterIdentifier"], []),
        ({}, A, ["kubeconfig"], []),
    ],
)
def test_the_provider_is_replaced_when_its_cluster_changes(
    old: dict[str, str], new: dict[str, str], changed: list[str], replacing: list[str]
) -> None:
    assert diff(old, new) == ProviderDiff(changed, replacing)


def test_comparing_with_what_is_no_kubeconfig_is_an_error_without_its_text() -> None:
    with pytest.raises(PluginError, match="failed to parse kubeconfig") as error:
        diff(A, {"kubeconfig": "hidden: ["})
    assert "hidden" not in str(error.value)
    assert "hidden" not in repr(settings.Kubeconfig({"hidden": "x"}))
