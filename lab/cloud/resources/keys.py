"""`/v2/account/keys`: SSH keys, by their numbers or the MD5 fingerprints that DigitalOcean shows.

`SSH Key is already in use on your account` is DigitalOcean's message (digitalocean/ansible-collection#102), as is that for
unknown ones at a droplet's creation (digitalocean/doctl#257).
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence

from lab.cloud.api import Reply, Request, not_found, page, shown, unprocessable
from lab.cloud.core import Cloud, Route
from lab.cloud.store import Object

_FIRST = 40_000_000


def fingerprint(public_key: str) -> str:
    """MD5 of the key's blob, in pairs of digits: what `ssh-keygen -E md5 -l` prints. Raises a 422."""
    words = public_key.split()
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (IndexError, binascii.Error):
        blob = b""
    if not blob or blob[4 : 4 + int.from_bytes(blob[:4])].decode(errors="replace") != words[0]:
        raise unprocessable("Key invalid, key should be of the format `type key [comment]`")
    return hashlib.md5(blob, usedforsecurity=False).digest().hex(":")


def find(cloud: Cloud, wanted: object) -> Object | None:
    """The key of this number or fingerprint."""
    for key in cloud.store.all("ssh_keys"):
        if wanted in (key["id"], str(key["id"]), key["fingerprint"]):
            return key
    return None


def public_keys(cloud: Cloud, wanted: Sequence[object]) -> list[str]:
    """The keys' texts. Raises a 422 that names those that are not known."""
    found = [(one, find(cloud, one)) for one in wanted]
    unknown = [str(one) for one, key in found if key is None]
    if unknown:
        raise unprocessable(f"{', '.join(unknown)} are invalid key identifiers for Droplet creation.")
    return [str(key["public_key"]) for _, key in found if key is not None]


def create(request: Request, cloud: Cloud) -> Reply:
    """`POST /v2/account/keys`."""
    name, text = request.text("name"), request.text("public_key").strip()
    digest = fingerprint(text)
    if find(cloud, digest) is not None:
        raise unprocessable("SSH Key is already in use on your account")
    number = cloud.store.number("ssh_keys", _FIRST)
    key = cloud.store.add("ssh_keys", number, {"id": number, "name": name, "public_key": text, "fingerprint": digest})
    return Reply(201, {"ssh_key": shown(key)})


def index(request: Request, cloud: Cloud) -> Reply:
    """`GET /v2/account/keys`."""
    return page(request, "ssh_keys", [shown(key) for key in cloud.store.listed("ssh_keys")])


def _of(request: Request, cloud: Cloud) -> Object:
    key = find(cloud, request.params["id"])
    if key is None:
        raise not_found()
    return key


def get(request: Request, cloud: Cloud) -> Reply:
    """`GET /v2/account/keys/{id or fingerprint}`."""
    return Reply(200, {"ssh_key": shown(_of(request, cloud))})


def rename(request: Request, cloud: Cloud) -> Reply:
    """`PUT /v2/account/keys/{id or fingerprint}`: only the name can change."""
    key = _of(request, cloud)
    key["name"] = request.text("name")
    return Reply(200, {"ssh_key": shown(key)})


def delete(request: Request, cloud: Cloud) -> Reply:
    """`DELETE /v2/account/keys/{id or fingerprint}`; machines that were made with it keep it."""
    cloud.store.remove("ssh_keys", _of(request, cloud)["id"])
    return Reply(204)


ROUTES = (
    Route("POST", "/v2/account/keys", create),
    Route("GET", "/v2/account/keys", index),
    Route("GET", "/v2/account/keys/{id}", get),
    Route("PUT", "/v2/account/keys/{id}", rename),
    Route("DELETE", "/v2/account/keys/{id}", delete),
)
