"""Small previews made by hand, in the form of `pulumi preview --json --show-sames --show-replacement-steps`."""

from typing import Any

from seedbed.review import Facts, Report, assess

FACTS = Facts(stack="prod", commit="5eedbed5eedbed", dirty=(), source="Pulumi.prod.yaml")
STACK = "urn:pulumi:prod::seedbed"

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
DROPLET = "digitalocean:index/droplet:Droplet"
FIREWALL = "digitalocean:index/firewall:Firewall"
BALANCER = "digitalocean:index/loadBalancer:LoadBalancer"
VOLUME = "digitalocean:index/volume:Volume"
ATTACHMENT = "digitalocean:index/volumeAttachment:VolumeAttachment"
BUCKET = "digitalocean:index/spacesBucket:SpacesBucket"
RECORD = "digitalocean:index/dnsRecord:DnsRecord"
PROJECT = "digitalocean:index/project:Project"
COMMAND = "command:remote:Command"
STASH = "pulumi:index:Stash"
SECRET = "kubernetes:core/v1:Secret"
NODE, HOST = "seedbed:pave:Node", "seedbed:metal:DropletHost"

Step = dict[str, Any]
State = dict[str, Any]


def urn(type_: str, name: str, parents: str = "") -> str:
    return f"{STACK}::{parents}{type_}::{name}"


def step(op: str, type_: str, name: str, old: State | None = None, new: State | None = None, **more: Any) -> Step:
    """One step; `old` and `new` are states without their URN, and given both or one as the operation has them."""
    its = more.pop("urn", None) or urn(type_, name)
    made: Step = {"op": op, "urn": its, **more}
    for key, state in (("oldState", old), ("newState", new)):
        if state is not None:
            made[key] = {"urn": its, "type": type_, **state}
    return made


def same(type_: str, name: str, old: State | None = None, new: State | None = None) -> Step:
    return step("same", type_, name, old or {}, new if new is not None else old or {})


def create(type_: str, name: str, **inputs: Any) -> Step:
    return step("create", type_, name, None, {"inputs": inputs})


def delete(type_: str, name: str, **inputs: Any) -> Step:
    return step("delete", type_, name, {"inputs": inputs})


def update(type_: str, name: str, old: State, new: State) -> Step:
    """Of its inputs."""
    fields = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return step("update", type_, name, {"inputs": old}, {"inputs": new}, diffReasons=fields)


def replacement(type_: str, name: str, old: State, new: State, **more: Any) -> list[Step]:
    """All steps of one, the old one first."""
    return [
        step("delete-replaced", type_, name, old),
        step("replace", type_, name, old, new, **more),
        step("create-replacement", type_, name, old, new, **more),
    ]


def paved(role: str, **settings: Any) -> dict[str, Any]:
    return {"role": role, "k3s.version": "v1.34.2+k3s1", **settings}


def machine(op: str, full_name: str, role: str = "agent", mounts: tuple[str, ...] = (), **settings: Any) -> list[Step]:
    """All resources of a machine at the cloud; `op` is `same`, `create` or `delete`."""
    size = "s-2vcpu-4gb" if role == "server" else "s-4vcpu-8gb"
    member = {"machine": full_name, "mounts": list(mounts), "paved": paved(role, **settings)}
    tags = ["seedbed-prod", *(["seedbed-prod-server"] if role == "server" else [])]
    hook = {"resourceHooks": {"BeforeDelete": ["retire"]}}
    node, host = urn(NODE, full_name), urn(HOST, full_name)

    def part(type_: str, name: str, parent: str, **state: Any) -> Step:
        states = {"old": {"parent": parent, **state}, "new": {"parent": parent, **state}}
        if op == "create":
            states["old"] = None
        if op == "delete":
            states["new"] = None
        return step(op, type_, name, states["old"], states["new"])

    return [
        part(HOST, full_name, ""),
        part(DROPLET, full_name, host, inputs={"size": size, "tags": tags, "userData": "[secret]"}, **hook),
        part(NODE, full_name, ""),
        *(part(COMMAND, f"{full_name}-{name}", node, inputs={"create": "…"}) for name in ("wait", "docker", "k3s")),
        part(
            STASH,
            f"{full_name}-member",
            node,
            inputs={"input": {**member, "login": {"address": UNKNOWN}}},
            outputs={"output": {**member, "login": {"address": "192.0.2.1"}}},
            **hook,
        ),
    ]


def begun(full_name: str, role: str = "server", *, remembered: bool = False) -> list[Step]:
    """A machine whose paving has failed once: it is there, and the steps from the one that failed are still to run.

    `remembered`: the one that failed is the step that joins.
    """
    left = {f"{full_name}-{name}" for name in (["k3s"] if remembered else ["docker", "member", "k3s"])}
    made = {step["urn"]: step for step in machine("create", full_name, role)}
    there = machine("same", full_name, role)
    return [made[step["urn"]] if step["urn"].split("::")[-1] in left else step for step in there]


def servers(*full_names: str, op: str = "same") -> list[Step]:
    return [step for name in full_names for step in machine(op, name, "server")]


GUARD = same(FIREWALL, "seedbed-prod", {"inputs": {"tags": ["seedbed-prod"], "inboundRules": []}})
"""The firewall that machines are behind."""


def preview(*steps: Step | list[Step], errors: tuple[str, ...] = (), warnings: tuple[str, ...] = ()) -> dict[str, Any]:
    listed = [one for found in steps for one in (found if isinstance(found, list) else [found])]
    said = [{"message": f"warning: {text}\n", "severity": "warning"} for text in warnings]
    said += [{"message": f"error: {text}\n", "severity": "error"} for text in errors]
    return {"steps": listed, "diagnostics": said}


def review(*steps: Step | list[Step], errors: tuple[str, ...] = (), warnings: tuple[str, ...] = ()) -> Report:
    return assess(preview(*steps, errors=errors, warnings=warnings), FACTS)


def lines(report: Report) -> list[str]:
    """The report's list, without its dashes."""
    return [line.removeprefix("- ") for line in report.markdown.splitlines() if line.startswith("- ")]


def line(report: Report, beginning: str) -> str:
    """The one line of the list that begins so."""
    (found,) = [line for line in lines(report) if line.startswith(beginning)]
    return found
