"""Changes of what comes from the stack's identity: that something changes, never what it is."""

import re
from collections.abc import Iterator, Sequence

from seedbed.review import words
from seedbed.review.findings import Class, Risk
from seedbed.review.steps import CLOUD, Change, Resource

SSH_KEY, SPACES_KEY = f"{CLOUD}sshKey:SshKey", f"{CLOUD}spacesKey:SpacesKey"
SECRET, CONFIG_MAP = "kubernetes:core/v1:Secret", "kubernetes:core/v1:ConfigMap"
CLUSTER = "pulumi:providers:kubernetes"

_SEALING = re.compile(r"sealed-secrets-key-[0-9a-f]{12}")


def risks(resources: Sequence[Resource]) -> Iterator[Risk]:
    """A line for each kind of key that is another one afterwards."""
    changed = [resource for resource in resources if resource.change is not Change.SAME]
    for resource in changed:
        text = _text(resource)
        if text:
            yield Risk(Class.IDENTITY, text, frozenset({resource.urn}))
    sealing = [resource for resource in changed if resource.type == SECRET and _SEALING.fullmatch(resource.name)]
    if sealing:
        comes = sum(resource.change is Change.CREATE for resource in sealing)
        goes = sum(resource.change is Change.DELETE for resource in sealing)
        other = len(sealing) - comes - goes
        parts = [
            f"{number} {what}"
            for number, what in ((comes, "new"), (other, "written over"), (goes, "removed"))
            if number
        ]
        lost = ": **what was sealed for a removed one alone can be opened no more**" if goes else ""
        text = f"sealing keys of the cluster: {', '.join(parts)}{lost}"
        yield Risk(Class.IDENTITY, text, frozenset(resource.urn for resource in sealing))


def _text(resource: Resource) -> str:
    if resource.type == SSH_KEY:
        if resource.change is Change.CREATE:
            return "the operator's SSH key is put in place, for machines that are made from now on"
        return "the operator's SSH key is another one: machines that are there let in the one they were made with"
    if resource.type == SPACES_KEY:
        what = {Change.CREATE: "is made", Change.DELETE: "is deleted", Change.UPDATE: "may do other things"}
        return f"the key for the buckets {words.code(resource.name)} {what.get(resource.change, 'is another one')}"
    if resource.type == SECRET and not _SEALING.fullmatch(resource.name):
        what = {Change.CREATE: "is put in place", Change.DELETE: "is removed"}
        if resource.name == "repository":
            return f"the deploy key that ArgoCD reads the repository with {what.get(resource.change, 'is another one')}"
        return f"the cluster's secret {words.code(resource.name)} {what.get(resource.change, 'is another one')}"
    if resource.type == CONFIG_MAP and resource.name == "known-hosts" and resource.change is not Change.CREATE:
        return "the host keys that ArgoCD trusts the repository's server by are others"
    if resource.type == CLUSTER and resource.name == "cluster":
        if resource.change in (Change.REPLACE, Change.DELETE):
            return "**the cluster is another one**: its CA, or the server that initialises it"
        if resource.change is Change.UPDATE and "kubeconfig" in resource.fields:
            return "the administrator's certificate, the CA or the API's address is another one"
    return ""
