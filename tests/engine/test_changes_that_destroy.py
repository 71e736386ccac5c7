"""Every line of docs/reference/changes-that-destroy.md, by a preview of the change that the line is about.

One stack is made once, and only previewed then. Where no setting leads to an input, the program's own value is changed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from lab.cloud.spaces import Spaces
from lab.plugins.digitalocean.fields import snake
from lab.plugins.digitalocean.kinds import KINDS
from stacks.config import ROOT
from tests.engine.conformance.harness import Result, Stack
from tests.engine.metal import IDENTITY, NAME, Change, Metal, Settings, changes, errors, metal, small

PAGE = ROOT / "docs" / "reference" / "changes-that-destroy.md"

FROZEN, REFUSED, REPLACED, CANNOT = "frozen", "refused", "replaced", "cannot change"
"""What the page says that happens: the beginning of a line's fourth cell."""

OLD_FIRST = ["delete-replaced", "replace", "create-replacement"]
NEW_FIRST = ["create-replacement", "replace", "delete-replaced"]
OTHER_NETWORK = "9325fe72-f6fa-42a0-b847-d3bb382adf97"


@dataclass(frozen=True, eq=False)
class Case:
    """One change, and what the engine makes of it.

    Args:
        change: of the settings.
        inputs: of the program, by type, where there is no setting.
        identity: whether the stack gets another one.
        planned: all that the preview shows, where it is not refused.
        refused: what refuses, `Type name`.
        says: what it says, in part.
    """

    change: Change = lambda settings: None
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    identity: bool = False
    planned: dict[str, list[str]] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    says: str = "protect"


def cloud(**values: Any) -> Change:
    """Sets keys of `digitalocean`; a map goes into the map that is there."""

    def change(settings: Settings) -> None:
        section = settings["seedbed:digitalocean"]
        for key, value in values.items():
            section[key] = {**section[key], **value} if isinstance(value, dict) else value

    return change


def pools(**values: Any) -> Change:
    """Sets keys of every pool."""

    def change(settings: Settings) -> None:
        for pool in settings["seedbed:pools"].values():
            pool.update(values)

    return change


def volume(name: str = "data-a", **values: Any) -> Change:
    """Sets keys of the volume, which gets the name."""

    def change(settings: Settings) -> None:
        volumes = settings["seedbed:digitalocean"]["volumes"]
        volumes[name] = {**volumes.pop("data-a"), **values}

    return change


def networks(settings: Settings) -> None:
    settings["seedbed:network"]["machines"] = "10.30.0.0/24"


def generation(settings: Settings) -> None:
    settings["seedbed:pools"]["agents"]["machines"]["agent-a"]["generation"] = 2
    settings["seedbed:retire"] = ["agent-a-1"]


def unlisted(change: Change) -> Change:
    """The same, without saying who leaves."""

    def silent(settings: Settings) -> None:
        change(settings)
        del settings["seedbed:retire"]

    return silent


def without(name: str) -> Change:
    """The agent is taken out of the settings, and it leaves."""

    def change(settings: Settings) -> None:
        del settings["seedbed:pools"]["agents"]["machines"][name]
        settings["seedbed:retire"] = [f"{name}-1"]

    return change


VPC, BALANCER, VOLUME = f"Vpc {NAME}", f"LoadBalancer {NAME}", f"Volume {NAME}-data-a"
ATTACHMENT, HOLDER = f"VolumeAttachment {NAME}-data-a", f"Stash {NAME}-data-a-holder"
ADDRESS, BUCKET = f"ReservedIp {NAME}-ingress", f"SpacesBucket {NAME}-etcd"

OTHER_REGION = Case(cloud(region="nyc3"), refused=(VPC,))
OTHER_IDENTITY = Case(identity=True, planned={f"SshKey {NAME}": OLD_FIRST})
NEXT_GENERATION = Case(
    generation,
    planned={
        "DropletHost agent-a-2": ["create"],
        "Droplet agent-a-2": ["create"],
        "Stash agent-a-2-member": ["create"],
        HOLDER: ["update"],
        ATTACHMENT: OLD_FIRST,
        f"ReservedIpAssignment {NAME}-ingress": NEW_FIRST,
        f"Project {NAME}": ["update"],
        "Stash agent-a-1-member": ["delete"],
        "Droplet agent-a-1": ["delete"],
        "DropletHost agent-a-1": ["delete"],
    },
)


def program(type_: str, refused: str = "", **inputs: Any) -> Case:
    """What no setting leads to: a changed program."""
    return Case(inputs={type_: inputs}, refused=(refused,) if refused else ())


LINES: dict[str, tuple[str, list[Case]]] = {
    "Droplet image": (FROZEN, [Case(cloud(image="debian-13-x64")), Case(pools(image="debian-13-x64"))]),
    "Droplet region": (FROZEN, [program("Droplet", region="nyc3"), OTHER_REGION]),
    "Droplet ssh_keys": (FROZEN, [OTHER_IDENTITY]),
    "Droplet user_data": (FROZEN, [OTHER_IDENTITY]),
    "Droplet vpc_uuid": (FROZEN, [program("Droplet", vpc_uuid=OTHER_NETWORK)]),
    "Droplet monitoring": (FROZEN, [Case(pools(monitoring=False))]),
    "Droplet droplet_agent": (FROZEN, [program("Droplet", droplet_agent=True)]),
    "Droplet size": (FROZEN, [Case(pools(size="s-8vcpu-16gb"))]),
    "Droplet ipv6": (FROZEN, [Case(pools(ipv6=True))]),
    "Vpc ip_range": (REFUSED, [Case(networks, refused=(VPC,))]),
    "Vpc region": (REFUSED, [OTHER_REGION]),
    "LoadBalancer region": (REFUSED, [program("LoadBalancer", BALANCER, region="nyc3")]),
    "LoadBalancer vpc_uuid": (REFUSED, [program("LoadBalancer", BALANCER, vpc_uuid=OTHER_NETWORK)]),
    "Volume region": (REFUSED, [program("Volume", VOLUME, region="nyc3")]),
    "Volume size": (
        REFUSED,
        [
            Case(volume(size=50), refused=(VOLUME,), says="can only be expanded"),
            Case(volume(size=200), planned={VOLUME: ["update"]}),
        ],
    ),
    "Volume initial_filesystem_type": (REFUSED, [program("Volume", VOLUME, initial_filesystem_type="xfs")]),
    "Volume name": (REFUSED, [Case(volume("data-c"), refused=(ATTACHMENT,), says="would be detached from agent-a-1")]),
    "VolumeAttachment droplet_id": (
        REPLACED,
        [
            Case(volume(machine="agent-b"), refused=(HOLDER,), says="and agent-a-1 stays"),
            Case(unlisted(generation), refused=(HOLDER,), says="and agent-a-1 is not on seedbed:retire"),
            NEXT_GENERATION,
        ],
    ),
    "VolumeAttachment volume_id": (CANNOT, []),
    "ReservedIp region": (REFUSED, [program("ReservedIp", ADDRESS, region="nyc3")]),
    "ReservedIpAssignment droplet_id": (
        REPLACED,
        [
            Case(
                cloud(reservedAddresses={"ingress": {"machine": "agent-b"}}),
                planned={f"ReservedIpAssignment {NAME}-ingress": NEW_FIRST},
            ),
            NEXT_GENERATION,
        ],
    ),
    "ReservedIpAssignment ip_address": (CANNOT, []),
    "SpacesBucket name": (REFUSED, [Case(cloud(snapshots={"bucket": "seedbed-other"}), refused=(BUCKET,))]),
    "SpacesBucket region": (REFUSED, [program("SpacesBucket", BUCKET, region="nyc3")]),
    "SshKey public_key": (REPLACED, [OTHER_IDENTITY]),
    "DnsRecord domain": (
        REPLACED,
        [
            Case(
                cloud(dns={"zone": "other.example"}),
                planned={"DnsRecord k8s.other.example": ["create"], "DnsRecord k8s.example.org": ["delete"]},
            )
        ],
    ),
    "DnsRecord type": (CANNOT, []),
    "Tag name": (CANNOT, []),
}


class Previews:
    """Previews of changes to one stack; each is made once, however many lines it is about."""

    def __init__(self, stack: Metal) -> None:
        self.stack = stack
        self._made: dict[Case, Result] = {}

    def of(self, case: Case) -> Result:
        """The preview of the change, after which the stack is as it was."""
        if case not in self._made:
            identity = self.stack.stack.folder / IDENTITY
            kept = identity.read_text()
            self.stack.inputs = case.inputs
            try:
                if case.identity:
                    self.stack.new_identity()
                self._made[case] = self.stack.preview(change=case.change, succeeds=not case.refused)
            finally:
                identity.write_text(kept)
                self.stack.inputs = {}
        return self._made[case]


@pytest.fixture(scope="module")
def previews(empty_stack: Stack, spaces: Spaces, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Previews]:
    """A stack that is there, with an agent more than is needed."""
    settings = small()
    settings["seedbed:pools"]["agents"]["machines"]["agent-b"] = {}
    settings["seedbed:digitalocean"]["snapshots"]["bucket"] = "seedbed-changes"
    with metal(empty_stack, tmp_path_factory.mktemp("changes"), settings, spaces.environment()) as stack:
        stack.up()
        yield Previews(stack)


@pytest.mark.parametrize("line", [line for line, (_, cases) in LINES.items() if cases])
def test_a_change_does_what_the_page_says(previews: Previews, line: str) -> None:
    for case in LINES[line][1]:
        preview = previews.of(case)
        if case.refused:
            said = errors(preview)
            for label in case.refused:
                assert case.says in said[label]
            droplets = {label: steps for label, steps in changes(preview).items() if label.startswith("Droplet")}
            assert all(steps == ["create"] for steps in droplets.values()), droplets
        else:
            assert changes(preview) == case.planned


def test_without_a_change_nothing_is_planned(previews: Previews) -> None:
    assert changes(previews.of(Case())) == {}


def test_a_machine_is_removed_when_it_is_listed_and_not_before(previews: Previews) -> None:
    gone = previews.of(Case(without("agent-b")))
    assert changes(gone) == {
        "Stash agent-b-1-member": ["delete"],
        "Droplet agent-b-1": ["delete"],
        "DropletHost agent-b-1": ["delete"],
        f"Project {NAME}": ["update"],
    }
    refused = previews.of(Case(unlisted(without("agent-b")), refused=("Stash agent-b-1-member",)))
    said = errors(refused)["Stash agent-b-1-member"]
    assert "agent-b-1 would be removed, and is not on seedbed:retire in Pulumi.test.yaml" in said


def test_what_the_page_says_cannot_change_follows_from_nothing_that_can(previews: Previews) -> None:
    resources = previews.stack.stack.export()["resources"]
    inputs = [(resource["type"].rpartition(":")[2], resource.get("inputs", {})) for resource in resources]
    protected = {resource["id"] for resource in resources if resource.get("protect")}
    assert {said["name"] for type_, said in inputs if type_ == "Tag"} == {NAME, f"{NAME}-server"}
    assert {said["type"] for type_, said in inputs if type_ == "DnsRecord"} == {"A"}
    for type_, name in (("VolumeAttachment", "volumeId"), ("ReservedIpAssignment", "ipAddress")):
        assert {said[name] for other, said in inputs if other == type_} <= protected


def test_every_line_of_the_page_has_a_test() -> None:
    assert page() == {line: what for line, (what, _) in LINES.items()}


def test_every_input_of_the_program_that_forces_a_replacement_is_on_the_page(previews: Previews) -> None:
    lines = page()
    missing = [
        f"{kind} {snake(name)}"
        for resource in previews.stack.stack.export()["resources"]
        if resource["type"] in KINDS and (kind := resource["type"].rpartition(":")[2])
        for name, rule in KINDS[resource["type"]].inputs.items()
        if (rule.replaces or rule.replaces_if) and name in resource["inputs"] and f"{kind} {snake(name)}" not in lines
    ]
    assert not missing


def page() -> dict[str, str]:
    """`Resource input` to what the page says that happens."""
    found = {}
    for row in re.findall(r"^\| [A-Z]\w+ \|.*$", PAGE.read_text(), re.MULTILINE):
        resource, named, _, happens, _ = (cell.strip() for cell in row.strip("|").split("|"))
        what = next(word for word in (FROZEN, REFUSED, REPLACED, CANNOT) if happens.startswith(word))
        for name in re.findall(r"`(\w+)`", named) or re.findall(r"its (name)", named):
            found[f"{resource} {name}"] = what
    return found
