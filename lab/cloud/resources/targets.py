"""Droplets as firewalls and load balancers name them: by number, or by a tag."""

from collections.abc import Iterable, Sequence

from lab.cloud.api import unprocessable
from lab.cloud.core import Cloud
from lab.cloud.store import Object


def numbers(cloud: Cloud, value: object) -> list[int]:
    """Checked numbers of droplets, each once. Raises a 422 where one is none."""
    items = value or []
    if not isinstance(items, list) or not all(isinstance(item, int) and not isinstance(item, bool) for item in items):
        raise unprocessable("droplet_ids must be a list of integers")
    for item in items:
        if cloud.store.get("droplets", item) is None:
            raise unprocessable(f"droplet {item} not found")
    return list(dict.fromkeys(items))


def tags(cloud: Cloud, value: object) -> list[str]:
    """Checked names of tags, each once. Raises a 422 where there is no such tag: none is made on the way.

    Source: https://docs.digitalocean.com/reference/doctl/reference/compute/firewall/create/ ("existing tags").
    """
    items = value or []
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise unprocessable("tags must be a list of strings")
    for item in items:
        if not has_tag(cloud, item):
            raise unprocessable(f"tag {item} does not exist")
    return list(dict.fromkeys(items))


def has_tag(cloud: Cloud, name: str) -> bool:
    """Whether there is a tag of this name, in capitals or small letters."""
    return any(tag["name"].casefold() == name.casefold() for tag in cloud.store.all("tags"))


def droplets(cloud: Cloud, ids: Iterable[int], names: Sequence[str]) -> list[Object]:
    """The droplets with these numbers, and those with one of the tags; each once, oldest first."""
    chosen = set(ids)
    for name in names:
        chosen |= {droplet["id"] for droplet in cloud.tagged("droplets", name)}
    return [droplet for droplet in cloud.store.all("droplets") if droplet["id"] in chosen]
