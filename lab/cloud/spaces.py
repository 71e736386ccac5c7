"""The object storage of the lab's cloud, under the name of DigitalOcean's Spaces: versitygw, and a front before it.

Keys are versitygw's users (its admin API: s3api/admin-router.go). What a key with limited rights may do stands in the
policies of the buckets, as DigitalOcean does it too: "limited-access Spaces keys aren't compatible with
PutBucketPolicy" (docs.digitalocean.com/products/spaces/how-to/configure-bucket-policies/). A key with `fullaccess` is
one of versitygw's administrators, who may do all with all buckets.

The front (`lab.cloud.spaces_front`) adds the lifecycle of buckets, which versitygw v1.8.0 answers with NotImplemented
(s3api/router.go). Rules are kept and shown; nothing expires by them.
"""

import hashlib
import http.client
import json
import shutil
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lab import LabError
from lab.internet import gateway, netns, process
from lab.internet.gateway import REGION
from lab.internet.pki import write_private
from tools.progress import Progress

PORT = 7480

_GATEWAY, _FRONT = "spaces", "spaces-front"
_WHAT = "object storage"
_LOOPBACK = "127.0.0.1"
_INNER_PORT = 7481
_PORTS = range(18070, 19070)  # without a namespace; below Linux's ephemeral ports, as lab.internet.s3 has it
_SECONDS = 15.0


class Permission(StrEnum):
    """What a grant of a key allows, in the words of DigitalOcean's API."""

    READ = "read"
    READ_WRITE = "readwrite"
    FULL = "fullaccess"


# The actions are versitygw's (auth/bucket_policy_actions.go); those for objects and those for buckets go together, as its
# policies want for each action a resource of its kind.
_READ_BUCKET = ("s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads", "s3:GetBucketLocation")
_READ_OBJECTS = ("s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectAttributes")
_WRITE_OBJECTS = (
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)
_ACTIONS: Mapping[str, tuple[str, ...]] = {
    Permission.READ: (*_READ_BUCKET, *_READ_OBJECTS),
    Permission.READ_WRITE: (*_READ_BUCKET, *_READ_OBJECTS, *_WRITE_OBJECTS),
}


@dataclass(frozen=True)
class Spaces:
    """The object storage of one lab, and the key that may do everything.

    Args:
        endpoint: http://ADDRESS:PORT, with buckets in the path.
        folder: where it keeps all.
    """

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    folder: Path

    def environment(self) -> dict[str, str]:
        """What the digitalocean provider needs to use it."""
        return {
            "SPACES_ENDPOINT_URL": self.endpoint,
            "SPACES_ACCESS_KEY_ID": self.access_key,
            "SPACES_SECRET_ACCESS_KEY": self.secret_key,
        }


@dataclass(frozen=True)
class Kept:
    """What stays the same for the lab's life, in `spaces.json` in the folder (0600); versitygw is at 127.0.0.1:inner_port."""

    address: str
    port: int
    inner_port: int
    access_key: str
    secret_key: str = field(repr=False)


def ensure(
    lab_dir: Path, lab: str, netns_name: str | None, address: str, versitygw: Path, progress: Progress | None = None
) -> Spaces:
    """Have it run and answer. The first call for a lab makes its keys; data, users and grants outlive a stop.

    Args:
        lab_dir: the lab's folder.
        lab: its name, for messages.
        netns_name: the network namespace that it runs in, port 7480; None runs it where the caller is, on a free port.
        address: IPv4, where it listens: the lab's services address, or 127.0.0.1.
        versitygw: the executable.
        progress: gets a line when it is started; None prints it.

    Raises:
        LabError: a port is taken by another program, or it does not answer in time.
    """
    services, folder = process.services_dir(lab_dir), _folder(lab_dir)
    with process.lock(services):
        kept = read(folder) or _create(folder, address, alone=netns_name is None)
        server = gateway.Gateway(
            name=_GATEWAY,
            what=_WHAT,
            binary=versitygw,
            data=folder / "data",
            sidecar=folder / "sidecar",
            address=_LOOPBACK,
            port=kept.inner_port,
            access_key=kept.access_key,
            secret_key=kept.secret_key,
            netns=netns_name,
            # Without its cache a key that is removed is refused at once.
            options=("--iam-dir", str((folder / "iam").absolute()), "--iam-cache-disable"),
            posix_options=_posix_options(folder),
        )
        started = server.ensure(services, lab_dir, ".")
        started |= _ensure_front(services, folder, kept, netns_name)
        netns.call(netns_name, lambda: gateway.wait(services, [_GATEWAY, _FRONT], _WHAT, kept.address, kept.port))
    if started:
        (progress or Progress()).line(f"object storage of lab {lab} on {kept.address}:{kept.port}")
    return public(folder, kept)


def load(lab_dir: Path) -> Spaces | None:
    """The lab's object storage, running or not; None if it never had one."""
    kept = read(_folder(lab_dir))
    return public(_folder(lab_dir), kept) if kept else None


def stop(lab_dir: Path) -> bool:
    """End it; True if it ran. Its data stays."""
    services, folder = lab_dir / "services", _folder(lab_dir)
    if not services.is_dir():
        return False
    with process.lock(services):
        front = process.stop(services, _FRONT, _front_arguments(folder))
        return gateway.stop(services, _GATEWAY, folder / "data", _posix_options(folder)) or front


def lose(lab_dir: Path) -> None:
    """End it and remove all that it held: buckets, keys and its own key."""
    stop(lab_dir)
    shutil.rmtree(_folder(lab_dir), ignore_errors=True)


def status(lab_dir: Path) -> int | None:
    """Its pid if all of it runs."""
    daemons = [process.running(lab_dir / "services", name) for name in (_FRONT, _GATEWAY)]
    return daemons[0].pid if daemons[0] is not None and daemons[1] is not None else None


def add_user(spaces: Spaces, access_key: str, secret_key: str) -> None:
    """A key that may do nothing yet. One that is there gets this secret, and keeps its grants."""
    with _grants(spaces) as grants:
        grants.setdefault(access_key, [])
        _put_user(spaces, access_key, secret_key, grants[access_key])


def grant(spaces: Spaces, bucket: str, access_key: str, permission: str) -> None:
    """Let a key do something with a bucket, which may come later; an empty name means all, now and later.

    `fullaccess` is for all buckets whatever its bucket is, and goes before other permissions, as at DigitalOcean
    (docs.digitalocean.com/reference/api/reference/spaces-keys/).

    Raises:
        LabError: there is no such key or permission.
    """
    with _grants(spaces) as grants:
        old = _entries(grants, access_key)
        (new,) = _checked([(bucket, permission)])
        grants[access_key] = [*(entry for entry in old if entry[0] != new[0]), new]
        _apply(spaces, grants, access_key, [new])


def set_grants(spaces: Spaces, access_key: str, wanted: Sequence[tuple[str, str]]) -> None:
    """From now on a key may do just this: pairs of a bucket and a permission, each as for `grant`, which see for errors."""
    with _grants(spaces) as grants:
        old = _entries(grants, access_key)
        grants[access_key] = _checked(wanted)
        _apply(spaces, grants, access_key, [*old, *grants[access_key]])


def remove_user(spaces: Spaces, access_key: str) -> None:
    """The key lets nobody in any more; nothing where there is none."""
    with _grants(spaces) as grants:
        gone = grants.pop(access_key, [])
        # Policies first: versitygw refuses one that names somebody whom it does not know.
        for name in _named(spaces, [bucket for bucket, _ in gone]):
            _put_policy(spaces, name, grants)
        _call(spaces, "PATCH", "/delete-user", f"access={quote(access_key)}", accept=(200, 404))


def read(folder: Path) -> Kept | None:
    """What is kept in the folder of an object storage; None where nothing was."""
    path = folder / "spaces.json"
    try:
        return Kept(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise LabError(f"{path} is damaged: take the lab down and make it anew") from error


def public(folder: Path, kept: Kept) -> Spaces:
    """How the world sees it."""
    return Spaces(f"http://{kept.address}:{kept.port}", kept.access_key, kept.secret_key, folder)


def permission_of(folder: Path, access_key: str, bucket: str) -> Permission | None:
    """What a key may do with a bucket, for the front; None where nothing, and for one that it does not know."""
    entries = _read_grants(folder).get(access_key, [])
    found = {permission for name, permission in entries if name in ("", bucket)}
    return next((permission for permission in reversed(Permission) if permission in found), None)


def bucket_made(spaces: Spaces, bucket: str) -> None:
    """Give a new bucket the rights that keys were granted on its name."""
    with _grants(spaces) as grants:
        _put_policy(spaces, bucket, grants)


def _folder(lab_dir: Path) -> Path:
    return lab_dir / "cloud" / "spaces"


def _create(folder: Path, address: str, *, alone: bool) -> Kept:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("data", "versions", "iam", "lifecycle"):
        (folder / name).mkdir(exist_ok=True)
    port = gateway.free_port(address, _PORTS, folder) if alone else PORT
    others = range(port + 1, _PORTS.stop)
    kept = Kept(
        address=address,
        port=port,
        inner_port=gateway.free_port(_LOOPBACK, others, folder) if alone else _INNER_PORT,
        access_key=gateway.access_key(),
        secret_key=gateway.secret_key(),
    )
    write_private(folder / "spaces.json", json.dumps(asdict(kept)).encode())
    return kept


def _posix_options(folder: Path) -> tuple[str, ...]:
    return ("--versioning-dir", str((folder / "versions").absolute()))


def _ensure_front(services: Path, folder: Path, kept: Kept, netns_name: str | None) -> bool:
    code = [Path(__file__), Path(__file__).with_name("spaces_front.py")]
    fingerprint = process.digest(
        *(path.read_text() for path in code), netns_name or "", kept.address, str(kept.port), str(kept.inner_port)
    )
    if process.runs(services, _FRONT, fingerprint):
        return False
    process.stop(services, _FRONT, _front_arguments(folder))
    if not netns.call(netns_name, lambda: gateway.is_free(kept.address, kept.port)):
        raise LabError(
            f"another program listens on {kept.address}:{kept.port}, the port of this lab's {_WHAT}. End it"
            f" (`ss -ltnp sport = {kept.port}` names it)."
        )
    netns.spawn(netns_name, services, _FRONT, [sys.executable, *_front_arguments(folder)], fingerprint)
    return True


def _front_arguments(folder: Path) -> list[str]:
    return ["-m", "lab.cloud.spaces_front", str(folder.absolute())]


_Grants = dict[str, list[list[str]]]
"""Access key -> pairs of a bucket and a permission."""


@contextmanager
def _grants(spaces: Spaces) -> Iterator[_Grants]:
    """All grants, kept when the block ends well; one at a time, over all processes of the lab."""
    with process.lock(spaces.folder):
        grants = _read_grants(spaces.folder)
        yield grants
        write_private(spaces.folder / "grants.json", json.dumps(grants, indent=1).encode())


def _read_grants(folder: Path) -> _Grants:
    try:
        grants: _Grants = json.loads((folder / "grants.json").read_text())
    except FileNotFoundError:
        return {}
    return grants


def _entries(grants: _Grants, access_key: str) -> list[list[str]]:
    if access_key not in grants:
        raise LabError(f"there is no key {access_key} in the lab's {_WHAT}")
    return grants[access_key]


def _checked(wanted: Sequence[tuple[str, str]]) -> list[list[str]]:
    for _, permission in wanted:
        if permission not in list(Permission):
            raise LabError(f"{permission!r} is not a permission of a Spaces key; there are {', '.join(Permission)}")
    return [["" if permission == Permission.FULL else bucket, str(permission)] for bucket, permission in wanted]


def _apply(spaces: Spaces, grants: _Grants, access_key: str, changed: Sequence[Sequence[str]]) -> None:
    role = _xml("MutableProps", Role=_role(grants[access_key]))
    _call(spaces, "PATCH", "/update-user", f"access={quote(access_key)}", role)
    for name in _named(spaces, [bucket for bucket, _ in changed]):
        _put_policy(spaces, name, grants)


def _named(spaces: Spaces, buckets: Sequence[str]) -> list[str]:
    """Those that exist of the buckets; an empty name stands for all."""
    existing = sorted(path.name for path in (spaces.folder / "data").iterdir() if not path.name.startswith("."))
    return existing if "" in buckets else [name for name in existing if name in buckets]


def _put_policy(spaces: Spaces, bucket: str, grants: _Grants) -> None:
    """Write who may do what with the bucket into its policy; none where nobody may anything."""
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    statements = [
        {
            "Effect": "Allow",
            "Principal": {"AWS": [access_key]},
            "Action": list(_ACTIONS[permission]),
            "Resource": resources,
        }
        for access_key, entries in sorted(grants.items())
        for name, permission in entries
        if name in ("", bucket) and permission in _ACTIONS
    ]
    path = f"/{quote(bucket)}"
    if statements:
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements}).encode()
        _call(spaces, "PUT", path, "policy=", policy, accept=(200, 204, 404))
    else:
        _call(spaces, "DELETE", path, "policy=", accept=(204, 404))


def _role(entries: Sequence[Sequence[str]]) -> str:
    return "admin" if any(permission == Permission.FULL for _, permission in entries) else "user"


def _put_user(spaces: Spaces, access_key: str, secret_key: str, entries: Sequence[Sequence[str]]) -> None:
    account = _xml("Account", Access=access_key, Secret=secret_key, Role=_role(entries), UserID="0", GroupID="0")
    status = _call(spaces, "PATCH", "/create-user", "", account, accept=(201, 409))
    if status == 409:
        properties = _xml("MutableProps", Secret=secret_key, Role=_role(entries))
        _call(spaces, "PATCH", "/update-user", f"access={quote(access_key)}", properties)


def _xml(tag: str, **fields: str) -> bytes:
    root = ET.Element(tag)
    for name, value in fields.items():
        ET.SubElement(root, name).text = value
    return ET.tostring(root)


def _call(spaces: Spaces, method: str, path: str, query: str, body: bytes = b"", accept: Sequence[int] = (200,)) -> int:
    """One request with the key that may do everything; the status of the answer. Raises LabError for another one."""
    # Imported here: it takes a tenth of a second, which whoever only looks need not spend.
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    url = f"{spaces.endpoint}{path}" + (f"?{query}" if query else "")
    headers = {"x-amz-content-sha256": hashlib.sha256(body).hexdigest()}
    request: Any = AWSRequest(method, url, headers=headers, data=body)
    S3SigV4Auth(Credentials(spaces.access_key, spaces.secret_key), "s3", REGION).add_auth(request)
    host, _, port = spaces.endpoint.removeprefix("http://").rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=_SECONDS)
    try:
        connection.request(method, url.removeprefix(spaces.endpoint), body, dict(request.headers))
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise LabError(f"the lab's {_WHAT} at {spaces.endpoint} does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status not in accept:
        raise LabError(f"the lab's {_WHAT} answers {method} {path} with HTTP {answer.status}: {said}")
    return answer.status
