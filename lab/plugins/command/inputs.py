"""The inputs of each type: names, forms and defaults, and the check that the engine asks for before anything runs.

Source: the schema of the command package 1.2.1 as its Python SDK has it (`pulumi_command/remote/_inputs.py`,
`remote/command.py`, `remote/copy_to_remote.py`, `local/command.py`, `local/run.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from lab.plugins.protocol.values import Properties, Value, bare, is_archive, is_asset, is_secret, is_unknown, secret


class Form(StrEnum):
    """What an input may hold."""

    STRING = "a string"
    INTEGER = "an integer"
    NUMBER = "a number"
    BOOLEAN = "a boolean"
    LIST = "a list"
    STRINGS = "a list of strings"
    STRING_MAP = "a map of strings"
    LOGGING = "one of stdout, stderr, stdoutAndStderr, none"
    SOURCE = "an asset or an archive"
    CONNECTION = "a connection"
    PROXY = "a proxy connection"


LOGGING_MODES = ("stdout", "stderr", "stdoutAndStderr", "none")


@dataclass(frozen=True)
class Failure:
    """One input that the engine reports as wrong; `reason` never repeats the value."""

    property: str
    reason: str


@dataclass(frozen=True)
class Inputs:
    """The inputs of one type."""

    forms: Mapping[str, Form]
    required: frozenset[str] = frozenset()
    defaults: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    secrets: frozenset[str] = frozenset()
    replacing: frozenset[str] = frozenset()


_ENDPOINT = {
    "host": Form.STRING,
    "port": Form.NUMBER,
    "user": Form.STRING,
    "password": Form.STRING,
    "privateKey": Form.STRING,
    "privateKeyPassword": Form.STRING,
    "agentSocketPath": Form.STRING,
    "dialErrorLimit": Form.INTEGER,
    "perDialTimeout": Form.INTEGER,
    "hostKey": Form.STRING,
}
_ENDPOINT_DEFAULTS = {"port": 22.0, "user": "root", "dialErrorLimit": 10.0, "perDialTimeout": 15.0}

PROXY = Inputs(_ENDPOINT, required=frozenset({"host"}), defaults=_ENDPOINT_DEFAULTS)
CONNECTION = Inputs({**_ENDPOINT, "proxy": Form.PROXY}, required=frozenset({"host"}), defaults=_ENDPOINT_DEFAULTS)

_LIFE = {"create": Form.STRING, "update": Form.STRING, "delete": Form.STRING, "triggers": Form.LIST}
_RUN = {
    "stdin": Form.STRING,
    "logging": Form.LOGGING,
    "environment": Form.STRING_MAP,
    "addPreviousOutputInEnv": Form.BOOLEAN,
}
_LOCAL = {
    "interpreter": Form.STRINGS,
    "dir": Form.STRING,
    "assetPaths": Form.STRINGS,
    "archivePaths": Form.STRINGS,
}

REMOTE_COMMAND = Inputs(
    {**_LIFE, **_RUN, "connection": Form.CONNECTION},
    required=frozenset({"connection"}),
    defaults={"addPreviousOutputInEnv": True},
    secrets=frozenset({"connection"}),
    replacing=frozenset({"triggers"}),
)
COPY_TO_REMOTE = Inputs(
    {"connection": Form.CONNECTION, "source": Form.SOURCE, "remotePath": Form.STRING, "triggers": Form.LIST},
    required=frozenset({"connection", "source", "remotePath"}),
    secrets=frozenset({"connection"}),
    replacing=frozenset({"triggers"}),
)
LOCAL_COMMAND = Inputs(
    {**_LIFE, **_RUN, **_LOCAL},
    defaults={"addPreviousOutputInEnv": True},
    replacing=frozenset({"triggers"}),
)
LOCAL_RUN = Inputs(
    {**_RUN, **_LOCAL, "command": Form.STRING},
    required=frozenset({"command"}),
    defaults={"addPreviousOutputInEnv": True},
)

RESOURCES: Mapping[str, Inputs] = {
    "command:remote:Command": REMOTE_COMMAND,
    "command:remote:CopyToRemote": COPY_TO_REMOTE,
    "command:local:Command": LOCAL_COMMAND,
}


def check(inputs: Inputs, given: Properties) -> tuple[Properties, list[Failure]]:
    """The inputs with their defaults and secret markers, and everything that is wrong with them."""
    failures: list[Failure] = []
    checked = _check(inputs, given, "", failures)
    return checked, failures


def _check(inputs: Inputs, given: Properties, prefix: str, failures: list[Failure]) -> Properties:
    checked: Properties = {}
    for name, value in given.items():
        form = inputs.forms.get(name)
        if form is None:
            known = ", ".join(sorted(inputs.forms))
            failures.append(Failure(prefix + name, f"unrecognized property; known are {known}"))
        elif value is not None:
            checked[name] = _value(form, value, prefix + name, failures)
    missing = sorted(inputs.required - checked.keys())
    failures.extend(Failure(prefix + name, f"missing required property {prefix}{name}") for name in missing)
    for name, default in inputs.defaults.items():
        checked.setdefault(name, default)
    for name in inputs.secrets & checked.keys():
        checked[name] = secret(checked[name])
    return checked


def _value(form: Form, value: Value, path: str, failures: list[Failure]) -> Value:
    if is_secret(value):
        return secret(_value(form, value.get("value"), path, failures))
    if form is Form.SOURCE:
        failures.extend(_source(value, path))
    elif is_unknown(value):
        pass
    elif form in (Form.CONNECTION, Form.PROXY) and isinstance(value, dict):
        return _check(CONNECTION if form is Form.CONNECTION else PROXY, value, f"{path}.", failures)
    elif not _fits(form, bare(value)):
        failures.append(Failure(path, f"expected {form.value}"))
    return value


def _fits(form: Form, value: Value) -> bool:
    match form:
        case Form.STRING:
            return isinstance(value, str)
        case Form.NUMBER:
            return isinstance(value, float)
        case Form.INTEGER:
            return isinstance(value, float) and value.is_integer()
        case Form.BOOLEAN:
            return isinstance(value, bool)
        case Form.LIST:
            return isinstance(value, list)
        case Form.STRINGS:
            return isinstance(value, list) and all(isinstance(item, str) for item in value)
        case Form.STRING_MAP:
            return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
        case Form.LOGGING:
            return value in LOGGING_MODES
        case _:
            return False


def _source(value: Value, path: str) -> list[Failure]:
    """What is wrong with the source of a copy; the reasons are those of remote/copyController.go.

    A source that is not known yet is refused too: 1.2.1 does so (pulumi-command#754), and what is tried
    here must work there.
    """
    if is_asset(value):
        if value.get("path") or (not value.get("uri") and isinstance(value.get("text"), str)):
            return []
        return [Failure(path, "asset must be a path-based file asset or a text asset")]
    if is_archive(value):
        if value.get("path"):
            return []
        return [Failure(path, "archive must be a path to a file or directory")]
    return [Failure(path, "either asset or archive must be set")]
