"""What the engine's state remembers of machines, and of what the cloud has made for them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from components.pave.node import MEMBER
from components.remote.session import Login
from seedbed import UserError, passphrase
from seedbed.deployment import name_of, type_of
from stacks.generations import Record

STASH = "pulumi:index:Stash"
COMMAND = "command:remote:Command"
STACK = "pulumi:pulumi:Stack"
CLOUD = "digitalocean:"

LAST_STEP = "k3s"
"""A machine that has it in the state was proven to be a member."""

# Source: github.com/pulumi/pulumi/sdk/v3 v3.232.0, go/common/resource/sig
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  the name of a kind of value

Decrypt = Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Paved:
    """One machine as it was paved: `record` are its settings of then, `address` is where other nodes reach it, where known.

    `lists` has, by the step that made it, the digest of the list that the machine keeps of what was installed; None where
    the step left none. The machine is a member when `joined`.
    """

    login: Login
    record: Record
    address: str | None = None
    joined: bool = True
    lists: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The full name, with the generation."""
        return self.login.machine


@dataclass(frozen=True, kw_only=True)
class Made:
    """Something at the cloud: Pulumi's type, name and ID, and what the last `up` or refresh saw of it."""

    type: str
    name: str
    id: str
    outputs: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class State:
    """What is compared: the machines by their full names, and what the cloud has made."""

    machines: Mapping[str, Paved]
    made: tuple[Made, ...] = ()


def read(exported: Mapping[str, Any], decrypt: Decrypt) -> State:
    """The state of what `pulumi stack export` printed, parsed; what a step has told is a secret, which `decrypt` opens."""
    deployment = exported.get("deployment") or {}
    # What is to be deleted is no longer part of the stack.
    resources = [one for one in deployment.get("resources") or [] if not one.get("delete")]
    addresses = _addresses(resources)
    told = _told(resources, decrypt)
    machines = {}
    for resource in resources:
        member = (resource.get("outputs") or {}).get("output")
        if resource["type"] != STASH or not name_of(resource["urn"]).endswith(MEMBER) or member is None:
            continue
        name, login = str(member["machine"]), member["login"]
        steps = told.get(name, {})
        machines[name] = Paved(
            login=Login(
                machine=name,
                address=str(login["address"]),
                port=int(login["port"]),
                user=str(login["user"]),
                host_key=str(login["hostKey"]),
            ),
            record=member["paved"],
            address=addresses.get(name),
            joined=LAST_STEP in steps,
            lists=steps,
        )
    made = [
        Made(
            type=resource["type"],
            name=name_of(resource["urn"]),
            id=str(resource.get("id", "")),
            outputs=resource.get("outputs") or {},
        )
        for resource in resources
        if type_of(resource["urn"]).startswith(CLOUD)
    ]
    return State(machines=dict(sorted(machines.items())), made=tuple(made))


def decrypter(exported: Mapping[str, Any], environment: Mapping[str, str]) -> Decrypt:
    """Opens the secrets of the state one by one, so that those that nobody asks for stay closed. Raises UserError."""
    provider = (exported.get("deployment") or {}).get("secrets_providers") or {}
    if provider.get("type") != "passphrase":
        raise UserError(
            f"the state's secrets are kept by {provider.get('type')!r}; seedbed keeps them with a passphrase"
        )
    crypter = passphrase.Crypter.open(provider["state"]["salt"], passphrase.from_environment(environment))
    return crypter.decrypt


def _addresses(resources: list[Any]) -> dict[str, str]:
    """Where nodes reach each other, as the stack tells it when an `up` has come to its end."""
    stack: Mapping[str, Any] = next((one for one in resources if one["type"] == STACK), {})
    nodes = (stack.get("outputs") or {}).get("nodes") or {}
    return {str(name): str(node["address"]) for name, node in nodes.items()}


def _told(resources: list[Any], decrypt: Decrypt) -> dict[str, dict[str, str | None]]:
    """The lists' digests by machine and step, as the steps have told them."""
    found: dict[str, dict[str, str | None]] = {}
    for resource in resources:
        if resource["type"] != COMMAND:
            continue
        try:
            told = json.loads(_clear((resource.get("outputs") or {}).get("stdout"), decrypt))
            machine, step = str(told["machine"]), str(told["step"])
        except (ValueError, TypeError, KeyError):
            continue  # no step of paving
        found.setdefault(machine, {})[step] = told.get("installed") or None
    return found


def _clear(value: object, decrypt: Decrypt) -> str:
    if isinstance(value, Mapping) and value.get(_SIGNATURE) == _SECRET:
        return str(json.loads(decrypt(str(value["ciphertext"]))))
    return str(value)
