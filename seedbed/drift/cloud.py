"""What DigitalOcean has of a stack, against what the engine's state says that was made there."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from seedbed.digitalocean import Api, CloudError, public_address
from seedbed.drift.rules import BALANCER_WORDS, balancer, firewall
from seedbed.drift.state import Made

AT_ONCE = 4
"""Requests side by side: well below 250 a minute, of which others may use some."""

DROPLET = "digitalocean:index/droplet:Droplet"
FIREWALL = "digitalocean:index/firewall:Firewall"
BALANCER = "digitalocean:index/loadBalancer:LoadBalancer"
VOLUME = "digitalocean:index/volume:Volume"
ATTACHMENT = "digitalocean:index/volumeAttachment:VolumeAttachment"
VPC = "digitalocean:index/vpc:Vpc"
RESERVED = "digitalocean:index/reservedIp:ReservedIp"
ASSIGNMENT = "digitalocean:index/reservedIpAssignment:ReservedIpAssignment"
RECORD = "digitalocean:index/dnsRecord:DnsRecord"

FEATURES = ("backups", "ipv6", "monitoring")

Object = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One thing of the cloud: how it differs, or why it could not be looked at. `kind` is None for a droplet of the stack,
    which goes by its machine's name."""

    name: str
    kind: str | None = None
    differences: tuple[str, ...] = ()
    problem: str = ""


class Cloud:
    """What is compared: `made` are the resources of the state, `tag` is what all droplets of the stack have."""

    def __init__(self, api: Api, made: Sequence[Made], tag: str) -> None:
        self._api, self._made, self._tag = api, made, tag
        self._names = {one.id: one.name for one in self._of(DROPLET)}

    def look(self) -> list[Seen]:
        """Everything that differs or could not be looked at, by kind and name."""
        works: list[Callable[[], Iterable[Seen]]] = [
            lambda one=one, kind=kind, path=path, key=key, compare=compare: [  # type: ignore[misc]
                self._one(one, kind, path(one), key, compare)
            ]
            for type_, (kind, path, key, compare) in self._kinds().items()
            for one in self._of(type_)
        ]
        works += [self._strange_droplets, self._strange_firewalls]
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="cloud") as pool:
            found = [seen for some in pool.map(_bounded, works) for seen in some]
        return sorted(found, key=lambda seen: (seen.kind or "", seen.name))

    def _kinds(
        self,
    ) -> dict[str, tuple[str | None, Callable[[Made], str], str, Callable[[Made, Object], Iterator[str]]]]:
        return {
            DROPLET: (None, lambda one: f"/v2/droplets/{one.id}", "droplet", self._droplet),
            FIREWALL: (
                "firewall",
                lambda one: f"/v2/firewalls/{one.id}",
                "firewall",
                lambda o, f: firewall(o.outputs, f),
            ),
            BALANCER: (BALANCER_WORDS, lambda one: f"/v2/load_balancers/{one.id}", "load_balancer", self._balancer),
            VOLUME: ("volume", lambda one: f"/v2/volumes/{one.id}", "volume", self._volume),
            VPC: ("VPC", lambda one: f"/v2/vpcs/{one.id}", "vpc", self._vpc),
            RESERVED: ("reserved address", lambda one: f"/v2/reserved_ips/{one.id}", "reserved_ip", self._reserved),
            RECORD: ("DNS record", _record_path, "domain_record", self._record),
        }

    def _of(self, type_: str) -> list[Made]:
        return [one for one in self._made if one.type == type_]

    def _one(
        self, one: Made, kind: str | None, path: str, key: str, compare: Callable[[Made, Object], Iterator[str]]
    ) -> Seen:
        try:
            answer = self._api.ask("GET", path)
            if answer.status == HTTPStatus.NOT_FOUND:
                what = "its droplet is gone" if kind is None else "is gone"
                return Seen(name=one.name, kind=kind, differences=(what,))
        except CloudError as error:
            return Seen(name=one.name, kind=kind, problem=str(error))
        if answer.status != HTTPStatus.OK:
            return Seen(name=one.name, kind=kind, problem=f"GET {path}: {answer.message} (HTTP {answer.status})")
        return Seen(name=one.name, kind=kind, differences=tuple(compare(one, answer.body[key])))

    def _droplet(self, one: Made, found: Object) -> Iterator[str]:
        was = one.outputs
        image = found.get("image") or {}
        pairs = [
            ("name", was.get("name"), found.get("name")),
            ("size", was.get("size"), found.get("size_slug")),
            # The slug moves on to the next image of its name.
            ("image", was.get("image"), image.get("slug") or was.get("image")),
            ("region", was.get("region"), (found.get("region") or {}).get("slug")),
            ("VPC", was.get("vpcUuid"), found.get("vpc_uuid")),
            ("public address", was.get("ipv4Address"), public_address(found)),
            ("status", "active", found.get("status")),
        ]
        yield from (f"its droplet's {what} is {new}, not {old}" for what, old, new in pairs if old != new)
        features = found.get("features") or []
        for feature in FEATURES:
            if bool(was.get(feature)) != (feature in features):
                yield f"its droplet has {'' if feature in features else 'no '}{feature}"
        yield from _sets("its droplet's tag", was.get("tags") or [], found.get("tags") or [])
        known = {volume.id for volume in self._of(VOLUME)}
        for volume in sorted(set(map(str, found.get("volume_ids") or [])) - known):
            yield f"its droplet has the volume {volume}, which the state does not know"

    def _balancer(self, one: Made, found: Object) -> Iterator[str]:
        yield from balancer(one.outputs, found)

    def _volume(self, one: Made, found: Object) -> Iterator[str]:
        if found.get("size_gigabytes") != one.outputs.get("size"):
            yield f"has {found.get('size_gigabytes')} GiB, not {_plain(one.outputs.get('size'))}"
        wanted = {
            _plain(a.outputs.get("dropletId")) for a in self._of(ATTACHMENT) if a.outputs.get("volumeId") == one.id
        }
        there = {_plain(droplet) for droplet in found.get("droplet_ids") or []}
        if wanted != there:
            yield f"is attached to {self._named(there)}, not to {self._named(wanted)}"

    def _vpc(self, one: Made, found: Object) -> Iterator[str]:
        if found.get("ip_range") != one.outputs.get("ipRange"):
            yield f"is {found.get('ip_range')}, not {one.outputs.get('ipRange')}"

    def _reserved(self, one: Made, found: Object) -> Iterator[str]:
        wanted = {
            _plain(a.outputs.get("dropletId")) for a in self._of(ASSIGNMENT) if a.outputs.get("ipAddress") == one.id
        }
        there = {_plain(found["droplet"]["id"])} if found.get("droplet") else set()
        if wanted != there:
            yield f"{one.id} leads to {self._named(there)}, not to {self._named(wanted)}"

    def _record(self, one: Made, found: Object) -> Iterator[str]:
        for what, key, name in (("name", "name", "name"), ("value", "data", "value"), ("type", "type", "type")):
            if found.get(key) != one.outputs.get(name):
                yield f"its {what} is {found.get(key)}, not {one.outputs.get(name)}"

    def _strange_droplets(self) -> Iterator[Seen]:
        for droplet in self._api.droplets(self._tag):
            if str(droplet["id"]) not in self._names:
                text = f"has the stack's tag {self._tag}, and the state does not know it (ID {droplet['id']})"
                yield Seen(name=str(droplet["name"]), kind="droplet", differences=(text,))

    def _strange_firewalls(self) -> Iterator[Seen]:
        """Firewalls add up: one more lets in what the stack's own does not."""
        ours = {one.id for one in self._of(FIREWALL)}
        tags = {tag for one in self._of(DROPLET) for tag in one.outputs.get("tags") or []} | {self._tag}
        for found in self._api.listed("/v2/firewalls", "firewalls"):
            at = sorted(tags.intersection(found.get("tags") or []))
            at += [self._names[str(id_)] for id_ in found.get("droplet_ids") or [] if str(id_) in self._names]
            if str(found["id"]) not in ours and at:
                text = f"is at {', '.join(at)}, and the state does not know it"
                yield Seen(name=str(found["name"]), kind="firewall", differences=(text,))

    def _named(self, droplets: Iterable[str]) -> str:
        return ", ".join(sorted(self._names.get(id_, f"droplet {id_}") for id_ in droplets)) or "none"


def _bounded(work: Callable[[], Iterable[Seen]]) -> list[Seen]:
    try:
        return [seen for seen in work() if seen.differences or seen.problem]
    except CloudError as error:
        return [Seen(name="", kind="DigitalOcean", problem=str(error))]


def _record_path(one: Made) -> str:
    return f"/v2/domains/{quote(str(one.outputs.get('domain')))}/records/{one.id}"


def _sets(what: str, was: Iterable[object], now: Iterable[object]) -> Iterator[str]:
    old, new = set(map(str, was)), set(map(str, now))
    yield from (f"{what} {one} was added" for one in sorted(new - old))
    yield from (f"{what} {one} is gone" for one in sorted(old - new))


def _plain(number: object) -> str:
    """An ID or a size, which the state has as a number with a fraction."""
    return str(int(number)) if isinstance(number, float) else str(number)
