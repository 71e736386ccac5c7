"""The machines of a stack at DigitalOcean, and nothing on them: the program's metal alone, on the real engine.

The program is the repository's but for the paving, of which only the members are there, and for what takes a machine out of
the cluster, which is noted; its settings and its identity come from the engine, as
`__main__.py` has them. It runs in the test's process, which saves each command the start of an interpreter.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import yaml

from components.remote.session import Login
from components.retire.gate import Gate, Leaving, RetireError, Say
from lab.cloud.core import Delays
from lab.cloud.limits import Limits
from stacks.config import ROOT, from_engine
from stacks.digitalocean import DigitalOceanMetal
from stacks.identity import Identity, generate
from stacks.settings import Role
from stacks.settings import Settings as ProgramSettings
from stacks.state_size import without_stack_traces
from tests.engine.conformance.cloud import PaperCloud, paper_cloud
from tests.engine.conformance.harness import Result, Stack, copied_stack

Settings = dict[str, Any]
Change = Callable[[Settings], None]

NAME = "seedbed-test"
"""Of everything that the stack makes and that is not a machine."""

QUICK = Delays(action=0.0, balancer=0.0, settle=0.05)
"""A list lags, so that what looks for something in one has to look again."""

UNLIMITED = Limits(hour=100_000, minute=100_000)
"""A test makes in one minute what a person makes in many."""

ENVIRONMENT = {"DIGITALOCEAN_HTTP_RETRY_WAIT_MIN": "0.05", "DIGITALOCEAN_HTTP_RETRY_MAX": "2"}

IDENTITY = "identity.json"

PATHS = {
    "domain_records": "/v2/domains/example.org/records",
    "droplets": "/v2/droplets",
    "firewalls": "/v2/firewalls",
    "load_balancers": "/v2/load_balancers",
    "projects": "/v2/projects",
    "reserved_ips": "/v2/reserved_ips",
    "keys": "/v2/spaces/keys",
    "ssh_keys": "/v2/account/keys",
    "tags": "/v2/tags",
    "volumes": "/v2/volumes",
    "vpcs": "/v2/vpcs",
}
"""Where the API lists what a stack makes, by the key of the answer."""

TYPES = {
    "DnsRecord": ("domain_records", "id"),
    "Droplet": ("droplets", "id"),
    "Firewall": ("firewalls", "id"),
    "LoadBalancer": ("load_balancers", "id"),
    "Project": ("projects", "id"),
    "ReservedIp": ("reserved_ips", "ip"),
    "SpacesKey": ("keys", "access_key"),
    "SshKey": ("ssh_keys", "id"),
    "Tag": ("tags", "name"),
    "Volume": ("volumes", "id"),
    "Vpc": ("vpcs", "id"),
}
"""In which list a type's resources are, and by what field of it they are known."""


def prod() -> Settings:
    """The settings of the stack `prod`, with an address that outlives machines, which it has none of."""
    settings: Settings = yaml.safe_load((ROOT / "Pulumi.prod.yaml").read_text())["config"]
    del settings["seedbed:seed"]
    settings["seedbed:identityFile"] = IDENTITY
    settings["seedbed:digitalocean"]["reservedAddresses"] = {"ingress": {"machine": "agent-a"}}
    return settings


def small() -> Settings:
    """As little as has every kind of resource: a server, and an agent with a volume and an address."""
    settings = prod()
    cloud, pools = settings["seedbed:digitalocean"], settings["seedbed:pools"]
    del cloud["volumes"]["data-b"], pools["servers"]["machines"]["server-b"], pools["servers"]["machines"]["server-c"]
    del pools["agents"]["machines"]["agent-b"]
    cloud["dns"]["names"] = ["k8s"]
    return settings


def changes(result: Result) -> dict[str, list[str]]:
    """The operations but `same` and `read` on each resource, `Type name`, in their order; the stack itself is left out."""
    found: dict[str, list[str]] = {}
    for event in result.events:
        step = event.get("resourcePreEvent", {}).get("metadata")
        if step and step["op"] not in ("same", "read", "refresh") and step["type"] != "pulumi:pulumi:Stack":
            label = f"{step['type'].rpartition(':')[2]} {step['urn'].rpartition('::')[2]}"
            found.setdefault(label, []).append(step["op"])
    return found


def errors(result: Result) -> dict[str, str]:
    """What was said of each resource that failed, `Type name`; of the stack where no resource is named."""
    found: dict[str, str] = {}
    for message in result.messages():
        if message["severity"] == "error":
            urn = message.get("urn", "")
            type_ = urn.split("::")[2].rpartition("$")[2].rpartition(":")[2] if urn else ""
            label = f"{type_} {urn.rpartition('::')[2]}".strip()
            found[label] = found.get(label, "") + message["message"]
    return found


@dataclass(frozen=True)
class Removal:
    """A machine that was taken out of the cluster, by which servers, and which machines each volume was in then."""

    leaving: Leaving
    servers: list[str]
    volumes: dict[str, list[str]]


@dataclass
class Metal:
    """One stack, and the cloud that it uses.

    Args:
        settings: as in a stack's file; what a test changes here is what the next command reads.
        seconds: how long an operation on a type may take, in place of what the program or the plugin says.
        inputs: of a type, in place of the program's.
        removals: who was taken out of the cluster, in the order in which it was asked for.
        refuses: why no machine can be taken out, if none can.
    """

    stack: Stack
    cloud: PaperCloud
    settings: Settings
    seconds: dict[str, float] = field(default_factory=dict)
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    removals: list[Removal] = field(default_factory=list)
    refuses: str = ""

    @property
    def bucket(self) -> str:
        """The name of the bucket for snapshots."""
        name: str = self.settings["seedbed:digitalocean"]["snapshots"]["bucket"]
        return name

    def up(self, *arguments: str, succeeds: bool | None = True) -> Result:
        """`pulumi up`; `succeeds` of None takes it as it comes."""
        return self._run(self.stack.up, arguments, succeeds)

    def preview(self, *arguments: str, change: Change | None = None, succeeds: bool | None = True) -> Result:
        """`pulumi preview`, of the settings or of a changed copy of them."""
        kept = self.settings
        self.settings = copy.deepcopy(kept)
        try:
            if change is not None:
                change(self.settings)
            return self._run(self.stack.preview, arguments, succeeds)
        finally:
            self.settings = kept

    def new_identity(self) -> Identity:
        """Another identity than the stack had."""
        identity = generate()
        (self.stack.folder / IDENTITY).write_text(identity.to_json())
        return identity

    def _run(self, command: Callable[..., Result], arguments: tuple[str, ...], succeeds: bool | None) -> Result:
        file = self.stack.folder / "Pulumi.test.yaml"
        kept = yaml.safe_load(file.read_text()) if file.exists() else {}
        file.write_text(yaml.safe_dump({**kept, "config": self.settings}))
        return command(self._program, *arguments, succeeds=succeeds)

    def _program(self) -> None:
        pulumi.runtime.register_stack_transformation(self._altered)
        settings, identity = from_engine(self.stack.folder)
        with without_stack_traces():
            outputs = self._metal(settings, identity).outputs()
        for name, value in outputs.items():
            pulumi.export(name, value)

    def _metal(self, settings: ProgramSettings, identity: Identity) -> DigitalOceanMetal:
        assert settings.digitalocean is not None
        names = {name: settings.full_name(name) for name in settings.machines}
        gate = Gate(
            retire=settings.retire,
            machines=list(names.values()),
            servers=[names[name] for name in settings.names(Role.SERVER)],
            source="Pulumi.test.yaml",
            remove=self._remove,
        )
        made = DigitalOceanMetal(settings, settings.digitalocean, identity, gate)
        for name, full_name in names.items():
            host = made.host(name)
            member = pulumi.Stash(
                f"{full_name}-member",
                input={
                    "machine": full_name,
                    "login": {"address": host.address, "port": host.port, "user": host.user, "hostKey": host.host_key},
                    "mounts": sorted(made.mounts(name).values()),
                    "paved": {
                        "role": str(settings.machines[name].role),
                        "size": settings.digitalocean.droplet(name).size,
                    },
                },
                opts=pulumi.ResourceOptions(
                    ignore_changes=["input"], hooks=pulumi.ResourceHookBinding(before_delete=[gate.hook])
                ),
            )
            made.attach(name, member.output, ())
            made.joined(name, member)
            if settings.machines[name].role is Role.SERVER:
                gate.server(full_name, host)
        return made

    def _remove(self, leaving: Leaving, servers: Sequence[Login], _say: Say) -> None:
        if self.refuses:
            raise RetireError(self.refuses)
        there = {droplet["id"]: droplet["name"] for droplet in self.listed("droplets")}
        volumes = {volume["name"]: [there[id_] for id_ in volume["droplet_ids"]] for volume in self.listed("volumes")}
        self.removals.append(Removal(leaving, [server.machine for server in servers], volumes))

    def _altered(self, args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
        type_ = args.type_.rpartition(":")[2]
        options = args.opts
        if type_ in self.seconds:
            bound = f"{self.seconds[type_]}s"
            timeouts = pulumi.CustomTimeouts(create=bound, update=bound)
            options = pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(custom_timeouts=timeouts))
        return pulumi.ResourceTransformationResult({**args.props, **self.inputs.get(type_, {})}, options)

    # What there is

    def census(self) -> dict[str, list[str]]:
        """Names by kind, of what the cloud has; reserved IPs have none, so they are only counted."""
        found = self.cloud.census()
        return found | {"reserved_ips": ["" for _ in found.get("reserved_ips", [])]}

    def listed(self, kind: str) -> list[dict[str, Any]]:
        """What the API lists of a kind, but what it had before: the zone's own records, and the defaults."""
        found = self.cloud.request("GET", f"{PATHS[kind]}?per_page=200")[kind]
        return [
            one
            for one in found
            if not (one.get("default") or one.get("is_default") or one.get("type") in ("NS", "SOA"))
        ]

    def ids(self) -> dict[str, list[str]]:
        """IDs in the state by type, for the types that the API lists."""
        found: dict[str, list[str]] = {type_: [] for type_ in TYPES}
        for resource in self.stack.export().get("resources", []):
            type_ = resource["type"].rpartition(":")[2]
            if resource["type"].startswith("digitalocean:") and type_ in TYPES:
                found[type_].append(str(resource["id"]))
        return {type_: sorted(ids) for type_, ids in found.items()}

    def live_ids(self) -> dict[str, list[str]]:
        """The same, of what the cloud has."""
        return {type_: sorted(str(one[by]) for one in self.listed(kind)) for type_, (kind, by) in TYPES.items()}


@contextmanager
def metal(
    empty: Stack, folder: Path, settings: Settings, environment: dict[str, str], **traits: Any
) -> Iterator[Metal]:
    """A stack with these settings in `folder`, and a cloud with the zone `example.org`.

    `empty` is copied; `environment` is that of the object storage; `traits` are the cloud's.
    """
    with paper_cloud(folder / "cloud", **{"delays": QUICK, "limits": UNLIMITED, **traits}) as cloud:
        stack = copied_stack(empty, folder / "stack")
        stack.environment.update(cloud.environment(**ENVIRONMENT), **environment)
        made = Metal(stack, cloud, settings)
        made.new_identity()
        cloud.request("POST", "/v2/domains", {"name": "example.org"})
        yield made
