"""A bucket for state: made once, private and versioned, and tried before anybody trusts it."""

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from seedbed.store import META, S3Url, StoreError, connect, explain

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_Reply = TypeVar("_Reply", bound=Mapping[str, Any])

# Without full stops, which no wildcard certificate matches.
# Source: https://docs.digitalocean.com/products/spaces/how-to/create/ and S3's rules for the names of buckets
_NAME = re.compile(r"[a-z0-9][-a-z0-9]{1,61}[a-z0-9]")

NEAR = 2
"""Names that differ in at most so many letters may be one of them mistyped."""


@dataclass(frozen=True)
class Made:
    """A new bucket. `url` is for PULUMI_BACKEND_URL."""

    url: str
    bucket: str


def create(url: S3Url, environment: Mapping[str, str], *, sure: bool = False) -> Made:
    """Makes the bucket and tries it; credentials are those that Pulumi would take from `environment`.

    `sure`: also where a bucket of nearly that name exists, or nobody can tell.

    Raises:
        StoreError: the name, the credentials or the server are not in order, the bucket exists, or it does not do what a
            state needs, in which case it is removed again.
    """
    if not _NAME.fullmatch(url.bucket):
        raise StoreError(
            f"{url.bucket!r} cannot be a bucket's name: 3 to 63 lower-case letters, digits and inner hyphens"
        )
    _check_credentials(url, environment)
    return _Maker(url, environment).make(sure=sure)


def distance(one: str, other: str) -> int:
    """How many letters must be put in, taken out, changed or swapped with the next to make `other` of `one`."""
    above: list[int] = []
    row = list(range(len(other) + 1))
    for i, left in enumerate(one):
        two_above, above, row = above, row, [i + 1]
        for j, right in enumerate(other):
            cost = min(above[j + 1] + 1, row[j] + 1, above[j] + (left != right))
            if i and j and left == other[j - 1] and one[i - 1] == right:
                cost = min(cost, two_above[j - 1] + 1)
            row.append(cost)
    return row[-1]


def _check_credentials(url: S3Url, environment: Mapping[str, str]) -> None:
    missing = [name for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if not environment.get(name)]
    if not missing or url.profile or environment.get("AWS_PROFILE"):
        return
    remedy = "Export them, as Pulumi reads them."
    if environment.get("SPACES_ACCESS_KEY_ID"):
        remedy = (
            'For Spaces: export AWS_ACCESS_KEY_ID="$SPACES_ACCESS_KEY_ID" '
            'AWS_SECRET_ACCESS_KEY="$SPACES_SECRET_ACCESS_KEY"'
        )
    raise StoreError(f"{' and '.join(missing)} not set. {remedy}")


class _Maker:
    """One attempt."""

    def __init__(self, url: S3Url, environment: Mapping[str, str]) -> None:
        self._url, self._bucket = url, url.bucket
        self._scratch = f"{url.prefix}.seedbed-{secrets.token_hex(6)}"
        with self._explained("connect"):
            self._s3 = connect(url, environment)

    def make(self, *, sure: bool) -> Made:
        self._refuse_existing()
        if not sure:
            self._refuse_near()
        self._create()
        try:
            versioning = self._ask("set versioning", self._set_versioning)
            self._expect("versioning", versioning.get("Status"), "Enabled")
            self._try()
        except StoreError as error:
            raise StoreError(f"{error}\n{self._take_back()}") from None
        return Made(self._url.text(), self._bucket)

    def _refuse_existing(self) -> None:
        from botocore.exceptions import ClientError

        try:
            with self._explained("look for it", through=(ClientError,)):
                self._s3.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            # A HEAD has no body, so the status is all there is.
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == 404:
                return
            if status != 403:
                raise StoreError(f"{self._bucket}: look for it: {explain(error, self._bucket)}") from None
            self._check_key()
            raise StoreError(
                f"the bucket {self._bucket!r} exists already and is somebody else's, or not open to this key. "
                "Take another name."
            ) from None
        raise StoreError(
            f"the bucket {self._bucket!r} exists already in this account; it is left as it is. {self._use()}"
        )

    def _check_key(self) -> None:
        """Where the key itself is refused, say that in place of anything about the bucket."""
        from botocore.exceptions import ClientError

        try:
            with self._explained("list buckets", through=(ClientError,)):
                self._s3.list_buckets()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "AccessDenied":
                raise StoreError(f"{self._bucket}: {explain(error, self._bucket)}") from None

    def _use(self) -> str:
        """What to do with a bucket that exists."""
        meta = self._url.prefix + META
        try:
            found = self._ask("list", lambda s3: s3.list_objects_v2(Bucket=self._bucket, Prefix=meta, MaxKeys=1))
            held = self._ask("list", lambda s3: s3.list_objects_v2(Bucket=self._bucket, MaxKeys=1))
        except StoreError:
            return "Take another name."
        if found.get("KeyCount"):
            return f"It holds a Pulumi state. If that is yours: export PULUMI_BACKEND_URL='{self._url.text()}'"
        if held.get("KeyCount"):
            return "It holds other things. Take another name."
        return "It is empty. If you know what it was made for and it is not needed, delete it; or take another name."

    def _refuse_near(self) -> None:
        try:
            listed = self._ask("list buckets", lambda s3: s3.list_buckets())
        except StoreError as error:
            raise StoreError(
                f"{error}\nSo it cannot be told whether {self._bucket!r} is another bucket's name mistyped. "
                "If it is right, add --yes."
            ) from None
        near = [bucket["Name"] for bucket in listed["Buckets"] if distance(bucket["Name"], self._bucket) <= NEAR]
        if near:
            raise StoreError(
                f"there is a bucket of nearly that name in this account: {', '.join(sorted(near))}. If you mean it, put it "
                f"in the url. If {self._bucket!r} is to be another one beside it, add --yes."
            )

    def _create(self) -> None:
        from botocore.exceptions import ClientError

        # Servers other than AWS have their region in the endpoint, and know no other.
        region = self._s3.meta.region_name
        elsewhere = self._url.endpoint is None and region != "us-east-1"
        location: Any = {"CreateBucketConfiguration": {"LocationConstraint": region}} if elsewhere else {}
        try:
            with self._explained("make it", through=(ClientError,)):
                self._s3.create_bucket(Bucket=self._bucket, ACL="private", **location)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code == "AccessDenied":
                raise StoreError(f"{self._bucket}: the key may not make buckets; take one with full access") from None
            if code in ("BucketAlreadyExists", "BucketAlreadyOwnedByYou"):
                raise StoreError(
                    f"the bucket {self._bucket!r} exists already: somebody else's, or made this very moment. It is left as "
                    "it is. Take another name."
                ) from None
            raise StoreError(f"{self._bucket}: make it: {explain(error, self._bucket)}") from None

    def _set_versioning(self, s3: "S3Client") -> Mapping[str, Any]:
        s3.put_bucket_versioning(Bucket=self._bucket, VersioningConfiguration={"Status": "Enabled"})
        return s3.get_bucket_versioning(Bucket=self._bucket)

    def _try(self) -> None:
        """Puts, gets, lists and deletes, and gets back what was deleted; leaves nothing."""
        key, body = self._scratch, b"seedbed state create\n"
        put = self._ask("put", lambda s3: s3.put_object(Bucket=self._bucket, Key=key, Body=body)).get("VersionId")
        self._expect("get", self._read(key), body)
        self._expect("list after put", self._keys(key), [key])
        deleted = self._delete(key).get("VersionId")
        self._expect("list after delete", self._keys(key), [])
        if not put or not deleted:
            raise StoreError(
                f"{self._bucket}: versioning is on, and a put or a delete makes no version; take another server"
            )
        self._expect("get the version before the delete", self._read(key, put), body)
        for version in (put, deleted):
            self._delete(key, version)

    def _delete(self, key: str, version: str | None = None) -> Mapping[str, Any]:
        which: Any = {"VersionId": version} if version else {}
        return self._ask("delete", lambda s3: s3.delete_object(Bucket=self._bucket, Key=key, **which))

    def _read(self, key: str, version: str | None = None) -> bytes:
        which: Any = {"VersionId": version} if version else {}
        reply = self._ask("get", lambda s3: s3.get_object(Bucket=self._bucket, Key=key, **which))
        return reply["Body"].read()

    def _keys(self, prefix: str) -> list[str]:
        reply = self._ask("list", lambda s3: s3.list_objects_v2(Bucket=self._bucket, Prefix=prefix))
        return [entry["Key"] for entry in reply.get("Contents", [])]

    def _expect(self, what: str, got: object, wanted: object) -> None:
        if got != wanted:
            raise StoreError(f"{self._bucket}: {what}: the server answers {got!r} and not {wanted!r}; take another one")

    def _take_back(self) -> str:
        # Nothing but what was put here: should somebody else use the bucket already, it is not empty and stays.
        try:
            for version in self._versions():
                self._delete(version["Key"], version["VersionId"])
            self._ask("remove it", lambda s3: s3.delete_bucket(Bucket=self._bucket))
        except StoreError as error:
            return f"The new bucket is still there, and no use: delete it by hand ({error})."
        return "The new bucket was removed again."

    def _versions(self) -> list[Mapping[str, Any]]:
        reply = self._ask(
            "list versions", lambda s3: s3.list_object_versions(Bucket=self._bucket, Prefix=self._scratch)
        )
        return [*reply.get("Versions", []), *reply.get("DeleteMarkers", [])]

    def _ask(self, verb: str, question: "Callable[[S3Client], _Reply]") -> _Reply:
        with self._explained(verb):
            return question(self._s3)

    @contextmanager
    def _explained(self, verb: str, through: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Errors as StoreError, but those that the caller wants to see."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except through:
            raise
        except ClientError as error:
            raise StoreError(f"{self._bucket}: {verb}: {explain(error, self._bucket)}") from None
        except BotoCoreError as error:
            raise StoreError(f"{self._bucket}: {verb}: {error}") from None
