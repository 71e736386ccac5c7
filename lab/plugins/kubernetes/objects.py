"""Kubernetes objects as dicts, and what the plugin has to know about their kinds.

An object is what the API takes and gives, `{"apiVersion": …, "kind": …, "metadata": {…}, …}`, without markers of
secrets. Source: provider.go and util.go of pulumi-kubernetes where not said otherwise.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Any, TypeAlias

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.calls import type_of
from lab.plugins.protocol.values import Properties, Value, bare, is_secret, is_unknown, secret

Object: TypeAlias = dict[str, Any]

INPUTS = "__inputs"
API_VERSION = "__initialApiVersion"
FIELD_MANAGER = "__fieldManager"

ANNOTATIONS = "pulumi.com/"
AUTONAMED = ANNOTATIONS + "autonamed"

AWAITED = frozenset(
    {
        "CustomResourceDefinition",
        "APIService",
        "DaemonSet",
        "Deployment",
        "Ingress",
        "Job",
        "PersistentVolumeClaim",
        "Pod",
        "ReplicationController",
        "ResourceQuota",
        "Service",
        "StatefulSet",
    }
)
"""Built-in kinds that the official plugin waits for by rules of their own (await/awaiters.go), and definitions."""

_CORE_GROUPS = frozenset({"", "apps", "autoscaling", "batch", "extensions", "policy"})

_CLUSTER_WIDE = frozenset(
    {
        ("", "ComponentStatus"),
        ("", "Namespace"),
        ("", "Node"),
        ("", "PersistentVolume"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("apiregistration.k8s.io", "APIService"),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ("certificates.k8s.io", "CertificateSigningRequest"),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
        ("networking.k8s.io", "IPAddress"),
        ("networking.k8s.io", "IngressClass"),
        ("networking.k8s.io", "ServiceCIDR"),
        ("node.k8s.io", "RuntimeClass"),
        ("rbac.authorization.k8s.io", "ClusterRole"),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
        ("scheduling.k8s.io", "PriorityClass"),
        ("storage.k8s.io", "CSIDriver"),
        ("storage.k8s.io", "CSINode"),
        ("storage.k8s.io", "StorageClass"),
        ("storage.k8s.io", "VolumeAttachment"),
    }
)

_READ_ONLY = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
)


@dataclass(frozen=True)
class Kind:
    """A kind in a version of its group; `group` is empty for the core kinds."""

    group: str
    version: str
    name: str

    @property
    def api_version(self) -> str:
        """As objects have it: `v1`, `argoproj.io/v1alpha1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def built_in(self) -> bool:
        """Whether it comes with Kubernetes."""
        return self.group in _CORE_GROUPS or self.group.endswith(".k8s.io")

    @property
    def namespaced(self) -> bool:
        """Whether its objects live in namespaces; a kind that is not built in is taken to, until the server is asked."""
        return (self.group, self.name) not in _CLUSTER_WIDE


def kind_of(item: Object) -> Kind:
    """The kind that the object says it has."""
    group, _, version = str(item.get("apiVersion", "")).rpartition("/")
    return Kind("" if group == "core" else group, version, str(item.get("kind", "")))


def kind_of_urn(urn: str) -> Kind:
    """The kind that the resource's type says, `kubernetes:core/v1:Secret`.

    Raises PluginError for types that this drop-in does not do.
    """
    type_ = type_of(urn)
    parts = type_.split(":")
    group, _, version = parts[1].partition("/") if len(parts) == 3 else ("", "", "")
    name = parts[-1]
    if not version:
        raise PluginError(f"unrecognized resource type: {type_!r} for this provider")
    kind = Kind("" if group == "core" else group, version, name)
    if group in ("helm.sh", "yaml", "kustomize") or (
        kind.built_in and (name in AWAITED or name.endswith(("Patch", "List")))
    ):
        raise PluginError(
            f"{type_}: this is a drop-in for the kubernetes plugin that does not wait for objects of this kind as the"
            " official one does, or does not know it. Install that:"
            " pulumi plugin install resource kubernetes 4.34.2"
        )
    return kind


def metadata(item: Object) -> Object:
    """The object's metadata, for reading."""
    found = item.get("metadata")
    return found if isinstance(found, dict) else {}


def name_of(item: Object) -> str:
    """The object's own name, empty where it has none or none that is known yet."""
    return _known(metadata(item).get("name"))


def namespace_of(item: Object) -> str:
    """The object's namespace, empty where it has none or none that is known yet."""
    return _known(metadata(item).get("namespace"))


def _known(value: Value) -> str:
    return value if isinstance(value, str) and not is_unknown(value) else ""


def annotation(item: Object, name: str) -> str:
    """The annotation `pulumi.com/NAME`, empty where there is none."""
    annotations = metadata(item).get("annotations")
    return _known(annotations.get(ANNOTATIONS + name)) if isinstance(annotations, dict) else ""


def set_metadata(item: Object, key: str, value: str) -> None:
    """Sets one field of the metadata, unless they are not known yet as a whole."""
    found = item.setdefault("metadata", {})
    if isinstance(found, dict):
        found[key] = value


def identifier(item: Object) -> str:
    """The resource's ID: `namespace/name`, or the name."""
    namespace = namespace_of(item)
    return f"{namespace}/{name_of(item)}" if namespace else name_of(item)


def split_identifier(id_: str) -> tuple[str, str]:
    """Namespace and name of an ID."""
    namespace, _, name = id_.rpartition("/")
    return namespace, name


def has_unknown(value: Value) -> bool:
    """Whether anything in the value is not known yet."""
    if isinstance(value, dict):
        return any(map(has_unknown, value.values()))
    if isinstance(value, list):
        return any(map(has_unknown, value))
    return is_unknown(value)


def from_properties(properties: Properties) -> Object:
    """The properties as an object: no secret markers, no nulls."""
    found: Object = _without_nulls(bare(properties))
    return found


def _without_nulls(value: Value) -> Value:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def for_server(value: Value) -> Value:
    """The value as it is sent: the protocol has only floating numbers, the API tells integers from them."""
    if isinstance(value, dict):
        return {key: for_server(item) for key, item in value.items()}
    if isinstance(value, list):
        return [for_server(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def normalized(item: Object) -> Object:
    """The object without fields that only the server sets; a Secret's `stringData` as the `data` that it becomes.

    As normalizeInputs and, for Secrets, clients/unstructured.go. Empty maps and lists of built-in kinds go, as they
    do where the server takes them for absent.
    """
    item = dict(item)
    if isinstance(item.get("metadata"), dict):
        item["metadata"] = {key: value for key, value in item["metadata"].items() if key not in _READ_ONLY}
    if kind_of(item).built_in:
        item = _without_empty(item)
        if isinstance(item.get("metadata"), dict):
            item["metadata"] = _without_empty(item["metadata"])
    if is_kind_secret(item) and not has_unknown(item):
        _normalize_secret(item)
    return item


def _without_empty(item: Object) -> Object:
    return {key: value for key, value in item.items() if value not in ({}, [])}


def is_kind_secret(item: Object) -> bool:
    """Whether the object is a Secret of the core group."""
    return item.get("kind") == "Secret" and item.get("apiVersion") in ("v1", "core/v1")


def _normalize_secret(item: Object) -> None:
    texts = item.get("stringData")
    data = item.get("data")
    if isinstance(texts, dict) and texts:
        del item["stringData"]
        coded = {key: base64.b64encode(str(text).encode()).decode() for key, text in texts.items()}
        item["data"] = {**(data if isinstance(data, dict) else {}), **coded}
    elif isinstance(data, dict):
        item["data"] = {key: _recoded(value) for key, value in data.items()}


def _recoded(value: Value) -> Value:
    """Base64 as the server writes it: without the line breaks that the decoder passes over."""
    if not isinstance(value, str):
        return value
    try:
        decoded = base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except binascii.Error:
        return value  # the server says what is wrong with it
    return base64.b64encode(decoded).decode()


def pruned(live: Value, shape: Value) -> Value:
    """What of the live object has a place in `shape` (pruneMap, pruneSlice)."""
    if isinstance(live, dict) and isinstance(shape, dict):
        return {key: pruned(value, shape[key]) for key, value in live.items() if key in shape}
    if isinstance(live, list) and isinstance(shape, list):
        if not live or not shape or type(live[0]) is not type(shape[0]):
            return live if live and shape else []
        return [pruned(one, other) for one, other in zip(live, shape, strict=False)]
    return live


def with_secrets(value: Properties, marked: Properties) -> Properties:
    """`value` with what is secret in `marked`, and a Secret's data, marked secret (annotateSecrets).

    A list is secret as a whole if anything in it is: its order may not be that of the inputs.
    """
    if value.get("kind") == "Secret":
        return {key: secret(item) if key in ("data", "stringData") else item for key, item in value.items()}
    result = dict(value)
    for key, item in marked.items():
        if key not in result:
            continue
        if isinstance(result[key], dict) and isinstance(item, dict) and not is_secret(item):
            result[key] = with_secrets(result[key], item)
        elif _contains_secret(item):
            result[key] = secret(result[key])
    return result


def _contains_secret(value: Value) -> bool:
    if isinstance(value, dict):
        return is_secret(value) or any(map(_contains_secret, value.values()))
    return isinstance(value, list) and any(map(_contains_secret, value))


def checkpoint(inputs: Object, live: Object, marked: Properties, api_version: str, manager: str) -> Properties:
    """The outputs as they are stored: the live object, and beside it the inputs that it was made from."""
    return {
        **with_secrets(live, marked),
        INPUTS: with_secrets(inputs, marked),
        API_VERSION: api_version,
        FIELD_MANAGER: manager,
    }


def from_checkpoint(state: Properties) -> tuple[Object, Object]:
    """The inputs and the live object in stored outputs."""
    live = from_properties(state)
    inputs = live.pop(INPUTS, {})
    live.pop(API_VERSION, None)
    live.pop(FIELD_MANAGER, None)
    return inputs, live
