"""Property values in the form in which the engine sends them.

A value is a plain Python value of `None | bool | float | str | list | dict`; secrets, assets and archives are
dicts with a signature, values not known yet are strings. Inputs travel back to the engine untouched, which keeps
secrets inside them secret. Source: pulumi/pulumi `sdk/go/common/resource/plugin/rpc.go` and
`sdk/go/common/resource/sig/sig.go`.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped]
from google.protobuf.struct_pb2 import Value as Message

Value: TypeAlias = Any
"""`None | bool | float | str | list[Value] | dict[str, Value]`"""

Properties: TypeAlias = dict[str, Value]

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 (a marker of the protocol, not a password)
ASSET = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_UNKNOWNS = frozenset(
    {
        UNKNOWN,  # string, and what the SDKs send whatever the type is
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)


def decode(message: Struct) -> Properties:
    """The properties of a request."""
    return {key: _decode(value) for key, value in message.fields.items()}


def _decode(message: Message) -> Value:
    match message.WhichOneof("kind"):
        case "struct_value":
            return decode(message.struct_value)
        case "list_value":
            return [_decode(item) for item in message.list_value.values]
        case "string_value":
            return message.string_value
        case "number_value":
            return message.number_value
        case "bool_value":
            return message.bool_value
        case _:
            return None


def encode(properties: Mapping[str, Value]) -> Struct:
    """The properties of a response."""
    message = Struct()
    message.update(dict(properties))
    return message


def is_unknown(value: Value) -> bool:
    """Whether the value comes from a resource that is not created yet (previews only)."""
    return isinstance(value, str) and value in _UNKNOWNS


def _signed(value: Value, signature: str) -> bool:
    return isinstance(value, dict) and value.get(SIGNATURE) == signature


def is_secret(value: Value) -> bool:
    """Whether the value itself is marked secret; says nothing about values inside it."""
    return _signed(value, SECRET)


def is_asset(value: Value) -> bool:
    """Whether the value is a file, text or URL asset."""
    return _signed(value, ASSET)


def is_archive(value: Value) -> bool:
    """Whether the value is an archive: a path, a URL or a tree of assets."""
    return _signed(value, ARCHIVE)


def secret(value: Value) -> Value:
    """The value marked secret, once."""
    return value if is_secret(value) else {SIGNATURE: SECRET, "value": value}


def bare(value: Value) -> Value:
    """The value without any secret markers, at every depth."""
    if is_secret(value):
        return bare(value.get("value"))
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items()}
    if isinstance(value, list):
        return [bare(item) for item in value]
    return value


def equal(one: Value, other: Value) -> bool:
    """Deep equality as the Go SDK has it: assets are their hash, a secret is not its bare value, null is absent."""
    if isinstance(one, dict) and isinstance(other, dict):
        for signature in (ASSET, ARCHIVE):
            if _signed(one, signature) or _signed(other, signature):
                return one.get(SIGNATURE) == other.get(SIGNATURE) and one.get("hash") == other.get("hash")
        keys = one.keys() | other.keys()
        return all(equal(one.get(key), other.get(key)) for key in keys)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(equal(*pair) for pair in zip(one, other, strict=True))
    # Python holds True for equal to 1; the wire does not.
    return type(one) is type(other) and bool(one == other)
