"""What the engine and the program say in a preview: why it was refused, and what it warns of."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seedbed.review import words
from seedbed.review.steps import name_of, type_of

NOUNS = {
    "digitalocean:index/dnsRecord:DnsRecord": "DNS name",
    "digitalocean:index/droplet:Droplet": "droplet",
    "digitalocean:index/firewall:Firewall": "firewall",
    "digitalocean:index/loadBalancer:LoadBalancer": "load balancer",
    "digitalocean:index/project:Project": "project",
    "digitalocean:index/reservedIp:ReservedIp": "reserved address",
    "digitalocean:index/reservedIpAssignment:ReservedIpAssignment": "reserved address assignment",
    "digitalocean:index/spacesBucket:SpacesBucket": "bucket",
    "digitalocean:index/spacesKey:SpacesKey": "key for buckets",
    "digitalocean:index/sshKey:SshKey": "SSH key",
    "digitalocean:index/tag:Tag": "tag",
    "digitalocean:index/volume:Volume": "volume",
    "digitalocean:index/volumeAttachment:VolumeAttachment": "volume attachment",
    "digitalocean:index/vpc:Vpc": "private network",
    "command:remote:Command": "step",
    "command:remote:CopyToRemote": "copy of the scripts",
    "pulumi:index:Stash": "note in the state",
    "kubernetes:core/v1:ConfigMap": "configuration",
    "kubernetes:core/v1:Namespace": "namespace",
    "pulumi:providers:kubernetes": "access to the Kubernetes API",
    "kubernetes:argoproj.io/v1alpha1:AppProject": "ArgoCD project",
    "kubernetes:argoproj.io/v1alpha1:Application": "ArgoCD application",
}
"""In plain words, by type; others go by their type's last word."""

_PREFIX = re.compile(r"^(error|warning): (Preview failed: )?|^before hook \"[^\"]*\" failed: ")
_HOOK = re.compile(r"^(?:before|after) hook \"[^\"]*\" failed: ")
_URN = r"\"(?P<urn>urn:pulumi:[^\"]+)\""
_PROTECTED = re.compile(
    rf"resource {_URN} cannot be deleted\s+because it is protected|"
    rf"unable to replace resource {_URN.replace('<urn>', '<other>')}\s+as it is currently marked for protection"
)
_SETTINGS = re.compile(r"^(?P<file>.+) cannot be used, \d+ problems?:$", re.MULTILINE)
_LAST = re.compile(r"^(preview failed|update failed)\.?$")
_TRACEBACK = "Traceback (most recent call last):"

_PAVED = re.compile(
    r"^(?P<machine>\S+) was paved with other settings: (?P<differences>.+)\. To adopt today's, replace it: .+$"
)


def noun(type_: str) -> str:
    """What a thing of this type is called."""
    return NOUNS.get(type_, type_.rpartition(":")[2])


def refusals(diagnostics: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line in Markdown for each reason, with what to do where the engine's own words do not say it well."""
    found: dict[str, None] = {}
    for message in _said(diagnostics, "error"):
        for line in _reasons(message):
            found.setdefault(line)
    return list(found)


def warnings(diagnostics: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line in Markdown for each warning; machines that differ from today's settings in the same way share one."""
    paved: dict[str, list[str]] = {}
    found: dict[str, None] = {}
    for message in _said(diagnostics, "warning"):
        match = _PAVED.match(message)
        if match:
            paved.setdefault(match["differences"], []).append(match["machine"])
        else:
            found.setdefault(words.prose(message))
    return [*(_other_settings(text, machines) for text, machines in paved.items()), *found]


def _other_settings(differences: str, machines: Sequence[str]) -> str:
    were, each = ("was", "it") if len(machines) == 1 else ("were", "each")
    return (
        f"{words.names(sorted(machines))} {were} paved with other settings: {words.prose(differences)}. To adopt today's, "
        f"replace {each}: its next generation, and its name on `seedbed:retire`"
    )


def _said(diagnostics: Sequence[Mapping[str, Any]], severity: str) -> Iterator[str]:
    for note in diagnostics:
        if note.get("severity") == severity:
            text = words.uncoloured(str(note.get("prefix") or "") + str(note.get("message") or "")).strip()
            text = _HOOK.sub("", _PREFIX.sub("", text))
            if text and not _LAST.match(text):
                yield text


def _reasons(message: str) -> Iterator[str]:
    protected = _PROTECTED.search(message)
    settings = _SETTINGS.search(message)
    if protected:
        urn = protected["urn"] or protected["other"]
        done = "deleted" if protected["urn"] else "replaced"
        kind = f"{noun(type_of(urn))} {words.code(name_of(urn))}"
        yield (
            f"{kind} would be {done}, and is protected: put it back as it was. If it shall go with all that is in it: "
            f"{words.code(f'pulumi state unprotect {_quoted(urn)}')}, in a change of its own"
        )
    elif settings:
        file = words.code(settings["file"].strip())
        for line in message[settings.end() :].strip().splitlines():
            if line.strip():
                yield f"{file}: {words.prose(line)}"
    elif _TRACEBACK in message:
        # All of a traceback but its last line is for who wrote the program, and may have anything in it.
        yield f"the program failed: {words.prose(message.strip().splitlines()[-1])}"
    else:
        yield words.prose(message)


def _quoted(urn: str) -> str:
    return "'" + urn.replace("'", "'\\''") + "'"
