"""DigitalOcean's Spaces: the key is accepted, and the bucket for etcd's snapshots can be made, where k3s then finds it."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from seedbed.checks.taken import BUCKET, Made
from seedbed.findings import Finding, fail, ok
from seedbed.store import S3Url, connect, explain, spaces_endpoint
from stacks.digitalocean_settings import DigitalOcean, Snapshots
from stacks.model import PROJECT

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SPACES_KEYS = ("SPACES_ACCESS_KEY_ID", "SPACES_SECRET_ACCESS_KEY")

_SETTING = f"{PROJECT}:digitalocean.snapshots"


def check_spaces(cloud: DigitalOcean, stack: str, environment: Mapping[str, str], made: Made | None) -> list[Finding]:
    """What the key may do, and whose the bucket is; `made` is what the state has, None where that is not known."""
    snapshots = cloud.snapshots
    if snapshots is None:
        return []
    missing = [name for name in SPACES_KEYS if not environment.get(name)]
    make = (
        f"Make one with full access in the control panel (Spaces Object Storage > Access Keys) and export it as "
        f"{' and '.join(SPACES_KEYS)}."
    )
    if missing:
        return [fail(f"Spaces: {' and '.join(missing)} not set; the bucket for snapshots needs a key", make)]
    from botocore.exceptions import BotoCoreError, ClientError

    endpoint = spaces_endpoint(cloud.region, environment)
    try:
        client = _client(endpoint, environment)
        names = _buckets(client)
    except ClientError as error:
        said = explain(error, snapshots.bucket).replace("AWS_ACCESS_KEY_ID", SPACES_KEYS[0])
        said = said.replace("AWS_SECRET_ACCESS_KEY", SPACES_KEYS[1])
        return [fail(f"Spaces: {endpoint} does not let the key list buckets: {said}", make)]
    except (BotoCoreError, ValueError) as error:
        return [fail(f"Spaces: {endpoint} cannot be asked", f"{error}. Is SPACES_ENDPOINT_URL right, if it is set?")]
    is_ours = made is None or (BUCKET, f"{PROJECT}-{stack}-etcd") in made
    findings = [_check_bucket(client, snapshots.bucket, is_ours=is_ours)]
    if snapshots.endpoint.rstrip("/") != endpoint.rstrip("/"):
        findings += _check_endpoint(snapshots, endpoint, names, environment)
    return findings


def _client(endpoint: str, environment: Mapping[str, str]) -> "S3Client":
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    keys = dict(zip(names, (environment[name] for name in SPACES_KEYS), strict=True))
    return connect(S3Url("", "", endpoint, None, path_style=True, profile=None), keys)


def _buckets(client: "S3Client") -> set[str]:
    return {bucket["Name"] for bucket in client.list_buckets().get("Buckets", [])}


def _check_bucket(client: "S3Client", bucket: str, *, is_ours: bool) -> Finding:
    from botocore.exceptions import ClientError

    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        # A HEAD has no body, so the status is all there is.
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.NOT_FOUND:
            return ok(f"Spaces: the key is accepted; the bucket {bucket} is still to be made")
        return fail(
            f"Spaces: the bucket {bucket} is somebody else's, or not open to this key",
            f"Take another name for {_SETTING}.bucket; all customers share a region's names.",
        )
    if is_ours:
        return ok(f"Spaces: the key is accepted and reaches the bucket {bucket}")
    return fail(
        f"Spaces: there is a bucket {bucket} already, and the stack's state has none",
        f"`pulumi up` takes no bucket that it did not make: take another name for {_SETTING}.bucket. What is in this one stays.",
    )


def _check_endpoint(
    snapshots: Snapshots, made_at: str, names: set[str], environment: Mapping[str, str]
) -> list[Finding]:
    """Whether k3s is sent to the storage in which the bucket is made, by another name: then it has the same buckets, `names`."""
    from botocore.exceptions import BotoCoreError, ClientError

    told = snapshots.endpoint
    try:
        if _buckets(_client(told, environment)) == names:
            return []
        why = "which has other buckets"
    except ClientError:
        why = "which does not let the key list buckets"
    except (BotoCoreError, ValueError) as error:
        why = f"which cannot be asked ({error})"
    return [
        fail(
            f"Spaces: k3s is to find the bucket at {told}, {why}",
            f"It is made at {made_at}, as the region or SPACES_ENDPOINT_URL says: correct {_SETTING}.endpoint, or leave it out.",
        )
    ]
