"""Inputs as they are stored: names and namespaces filled in. Source: Check in provider.go, metadata/naming.go."""

import hashlib
import secrets
from dataclasses import dataclass

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.calls import name_of as logical_name
from lab.plugins.protocol.values import Properties, is_unknown

from . import objects
from .objects import Object

GENERATE_NAME = "the `.metadata.generateName` field is not supported in Server-Side Apply mode"


@dataclass(frozen=True)
class Naming:
    """How the engine wants an automatic name: a proposal, none at all, or random digits that come from a seed."""

    seed: bytes = b""
    proposed: str = ""
    disabled: bool = False


def check(urn: str, old: Properties, new: Properties, naming: Naming, namespace: str) -> Properties:
    """The inputs of the resource, complete; `namespace` is the provider's.

    Raises PluginError for what cannot be made.
    """
    kind = objects.kind_of_urn(urn)
    given = objects.from_properties(new)
    item = objects.normalized({"apiVersion": kind.api_version, "kind": kind.name, **given})
    _name(item, objects.from_properties(old), urn, naming)
    if kind.namespaced and namespace and not metadata_has(item, "namespace"):
        objects.set_metadata(item, "namespace", namespace)
    return objects.with_secrets(item, new)


def metadata_has(item: Object, key: str) -> bool:
    """Whether the field is there, known or not."""
    return bool(objects.metadata(item).get(key)) or is_unknown(item.get("metadata"))


def _name(item: Object, old: Object, urn: str, naming: Naming) -> None:
    if metadata_has(item, "name"):
        return
    if metadata_has(item, "generateName"):
        raise PluginError(GENERATE_NAME)
    adopted = objects.name_of(old) if objects.annotation(old, "autonamed") == "true" else ""
    if old and not adopted:
        return
    objects.set_metadata(item, "name", adopted or _new_name(urn, naming))
    annotations = item["metadata"].get("annotations", {})
    if not is_unknown(annotations):
        item["metadata"]["annotations"] = {**annotations, objects.AUTONAMED: "true"}


def _new_name(urn: str, naming: Naming) -> str:
    if naming.disabled:
        raise PluginError("autonaming is disabled, resource requires the name field to be set")
    digits = hashlib.sha256(naming.seed).hexdigest()[:8] if naming.seed else secrets.token_hex(4)
    return naming.proposed or f"{logical_name(urn)}-{digits}"
