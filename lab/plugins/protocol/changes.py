"""Changed properties, as plugins find them and as the engine takes them."""

from enum import StrEnum

from pulumi.runtime.proto import provider_pb2

from .values import Value


class Kind(StrEnum):
    """How one property changed."""

    ADD = "ADD"
    DELETE = "DELETE"
    UPDATE = "UPDATE"


def changed(found: bool) -> Value:
    """The sum of a diff: whether there is anything to do."""
    return provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE


def property_diff(kind: Kind, *, replaces: bool, in_inputs: bool = False) -> Value:
    """One property; `in_inputs` where the old inputs show it, not the old outputs."""
    name = f"{kind}_REPLACE" if replaces else kind.value
    return provider_pb2.PropertyDiff(kind=getattr(provider_pb2.PropertyDiff, name), inputDiff=in_inputs)
