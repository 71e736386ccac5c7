"""What the provider resource is configured with. Source: Configure and DiffConfig in provider.go, util.go."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.values import Properties, equal, is_unknown

IDENTIFIER = "clusterIdentifier"

_FLAGS = {
    "deleteUnreachable": "DELETE_UNREACHABLE",
    "skipUpdateUnreachable": "SKIP_UPDATE_UNREACHABLE",
    "enableConfigMapMutable": "ENABLE_CONFIGMAP_MUTABLE",
    "enableSecretMutable": "ENABLE_SECRET_MUTABLE",
    "enablePatchForce": "ENABLE_PATCH_FORCE",
    "upsertExistingObjects": "UPSERT_EXISTING_OBJECTS",
}


@dataclass(frozen=True)
class Kubeconfig:
    """A kubeconfig as it was read, and which of its contexts is meant; `reason` says why it is of no use."""

    content: Mapping[str, Any] = field(default_factory=dict, repr=False)
    context: str = ""
    cluster: str = ""
    reason: str = ""

    @property
    def context_settings(self) -> Mapping[str, Any]:
        """The context's entry, empty if there is none of its name."""
        return _named(self.content, "contexts", "context", self.context or str(self.content.get("current-context", "")))

    @property
    def cluster_settings(self) -> Mapping[str, Any]:
        """The cluster's entry, empty if there is none of its name."""
        return _named(
            self.content, "clusters", "cluster", self.cluster or str(self.context_settings.get("cluster", ""))
        )

    @property
    def server(self) -> str:
        """The API server's URL, empty where it is not known."""
        return str(self.cluster_settings.get("server", ""))


@dataclass(frozen=True)
class Settings:
    """All settings; `namespace` is the one for objects that name none, empty where none was said anywhere."""

    kubeconfig: Kubeconfig = field(default_factory=Kubeconfig)
    namespace: str = ""
    delete_unreachable: bool = False
    skip_update_unreachable: bool = False
    config_maps_mutable: bool = False
    secrets_mutable: bool = False
    patch_force: bool = False
    upsert: bool = False


def from_variables(variables: Mapping[str, str]) -> Settings:
    """The settings in the variables of a Configure request; an environment variable counts where one is missing."""
    given = {key.removeprefix("kubernetes:config:"): value for key, value in variables.items()}
    flags = {
        name: given.get(name, os.environ.get(f"PULUMI_K8S_{variable}", "")) == "true"
        for name, variable in _FLAGS.items()
    }
    kubeconfig = _kubeconfig(given.get("kubeconfig", ""), given.get("context", ""), given.get("cluster", ""))
    namespace = given.get("namespace", "")
    if not namespace and not kubeconfig.reason:
        namespace = str(kubeconfig.context_settings.get("namespace") or "default")
    return Settings(
        kubeconfig,
        namespace,
        delete_unreachable=flags["deleteUnreachable"],
        skip_update_unreachable=flags["skipUpdateUnreachable"],
        config_maps_mutable=flags["enableConfigMapMutable"],
        secrets_mutable=flags["enableSecretMutable"],
        patch_force=flags["enablePatchForce"],
        upsert=flags["upsertExistingObjects"],
    )


def _kubeconfig(text: str, context: str, cluster: str) -> Kubeconfig:
    """The kubeconfig in the text or at the path; without either the one of this machine's user."""
    try:
        if text:
            content = parse(text)
        else:
            places = os.environ.get("KUBECONFIG", "").split(os.pathsep)
            files = [Path(place) for place in places if place] or [Path.home() / ".kube" / "config"]
            content = parse(str(next((file for file in files if file.exists()), files[0])))
    except PluginError as error:
        return Kubeconfig(reason=str(error))
    found = Kubeconfig(content, context, cluster)
    if not found.server:
        return Kubeconfig(
            reason="unable to load Kubernetes client configuration from kubeconfig file: it has no"
            f" cluster for the context {context or content.get('current-context', '')!r}"
        )
    return found


def parse(text: str) -> Mapping[str, Any]:
    """The content of a kubeconfig, given as such or as the path of a file.

    Raises PluginError, without a piece of the text, if it is none.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    failed = "failed to parse kubeconfig data in `kubernetes:config:kubeconfig`"
    try:
        path = Path(text).expanduser()
        is_file = "\n" not in text and path.is_file()
        content = yaml.load(path.read_text() if is_file else text, loader)  # noqa: S506 (a safe loader)
    except (OSError, UnicodeError) as error:
        raise PluginError(f"{failed}: {type(error).__name__}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise PluginError(f"{failed}: it is not YAML{where}") from None
    if not isinstance(content, dict):
        raise PluginError(f"{failed}: it is neither a kubeconfig nor the path of a file with one")
    return content


def _named(content: Mapping[str, Any], plural: str, singular: str, name: str) -> Mapping[str, Any]:
    for entry in content.get(plural) or []:
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(singular), dict):
            found: Mapping[str, Any] = entry[singular]
            return found
    return {}


@dataclass(frozen=True)
class ProviderDiff:
    """Which of the provider's inputs changed, and which of these replace it with all that belongs to it."""

    changed: list[str]
    replacing: list[str]


def diff(old: Properties, new: Properties) -> ProviderDiff:
    """What a change of the provider's inputs (without secret markers) asks of the engine.

    The provider is replaced when the cluster changes. Which cluster it is says `clusterIdentifier`, in whose presence
    nothing else counts; to add it or to take it away replaces nothing by itself. Without it, the kubeconfig's
    active cluster is compared, and what is not known yet is taken for another one.
    """
    changed = sorted(key for key in old.keys() | new.keys() if not equal(old.get(key), new.get(key)))
    if not changed:
        return ProviderDiff([], [])
    before, after = old.get(IDENTIFIER), new.get(IDENTIFIER)
    if after is not None and before == after:
        return ProviderDiff(changed, [])
    replacing = [IDENTIFIER] if before is not None and after is not None else []
    places: list[str] = [key for key in ("kubeconfig", "context", "cluster") if key in changed]
    unknown = [key for key in places if is_unknown(new.get(key))]
    if unknown:
        return ProviderDiff(unknown[:1], replacing + unknown[:1])
    one, other = _active_cluster(old), _active_cluster(new)
    if one and other and one != other:
        replacing += places
    return ProviderDiff(changed, replacing)


def _active_cluster(inputs: Properties) -> Mapping[str, Any]:
    text = inputs.get("kubeconfig")
    if not text:
        return {}
    return Kubeconfig(parse(str(text)), inputs.get("context") or "", inputs.get("cluster") or "").cluster_settings
