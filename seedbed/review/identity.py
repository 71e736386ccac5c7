"""Changes of what comes from the stack's identity: that something changes, never what it is."""

import re
from collections.abc import Iterator, Sequence

from seedbed.review import words
from seedbed.review.findings import Class, Risk
from seedbed.review.steps import CLOUD, Change, Resource

SSH_KEY, SPACES_KEY = f"{CLOUD}sshKey:SshKey", f"{CLOUD}spacesKey:SpacesKey"
SECRET, CONFIG_MAP = "kubernetes:core/v1:Secret", "kubernetes:core/v1:ConfigMap"
CLUSTER = "pulumi:providers:kubernetes"

REPOSITORY = "repository"
"""The name of the secret with the deploy key."""

_SEALING = re.compile(r"sealed-secrets-key-[0-9a-f]{12}")


def risks(resources: Sequence[Resource]) -> Iterator[Risk]:
    """A line for all that is new, and one for each kind of key that is another one afterwards, or gone."""
    changed = [resource for resource in resources if resource.change is not Change.SAME]
    sealing = [resource for resource in changed if resource.type == SECRET and _SEALING.fullmatch(resource.name)]
    new = {resource.urn: what for resource in changed if resource.change is Change.CREATE and (what := _what(resource))}
    named = list(new.values())
    coming = [resource.urn for resource in sealing if resource.change is Change.CREATE]
    if coming:
        named.append(words.count(len(coming), "sealing key"))
    if named:
        yield Risk(Class.IDENTITY, f"put in place: {words.sentence(named)}", frozenset([*new, *coming]))
    for resource in changed:
        if resource.change is not Change.CREATE and (text := _text(resource)):
            yield Risk(Class.IDENTITY, text, frozenset({resource.urn}))
    gone = [resource.urn for resource in sealing if resource.removed]
    if gone:
        text = f"{words.count(len(gone), 'sealing key')} removed: **what is sealed for no other can be opened no more**"
        yield Risk(Class.IDENTITY, text, frozenset(gone))
    other = [resource.urn for resource in sealing if resource.change is Change.UPDATE]
    if other:
        yield Risk(Class.IDENTITY, f"{words.count(len(other), 'sealing key')} written over", frozenset(other))


def _what(resource: Resource) -> str:
    """What of the identity it is; empty for what is nothing of it, or no secret."""
    if resource.type == SSH_KEY:
        return "the operator's SSH key"
    if resource.type == SPACES_KEY:
        return f"the key for the bucket {words.code(resource.name)}"
    if resource.type == SECRET and not _SEALING.fullmatch(resource.name):
        name = words.code(resource.name)
        return (
            "the deploy key that ArgoCD reads the repository with"
            if resource.name == REPOSITORY
            else f"the secret {name}"
        )
    return ""


def _text(resource: Resource) -> str:
    """What it means that this is not what it was."""
    what = _what(resource)
    if resource.type == SSH_KEY and resource.change is not Change.DELETE:
        return f"{what} is another one: machines that are there let in the one they were made with"
    if what:
        changes = {Change.DELETE: "is removed", Change.UPDATE: "changes"}
        return f"{what} {changes.get(resource.change, 'is another one')}"
    if resource.type == CONFIG_MAP and resource.name == "known-hosts":
        return "the host keys that ArgoCD trusts the repository's server by are others"
    if resource.type == CLUSTER and resource.removed:
        return "**the cluster is another one**: its CA, or the server that made it"
    if resource.type == CLUSTER and resource.change is Change.UPDATE and "kubeconfig" in resource.fields:
        return "the administrator's certificate, the CA or the API's address is another one"
    return ""
