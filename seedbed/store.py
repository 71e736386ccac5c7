"""The store that holds a stack's state, as `PULUMI_BACKEND_URL` names it: what `seedbed doctor` tries on it.

The query of an s3:// url is read as go-cloud and Pulumi read it (gocloud.dev `aws/aws.go`, `blob/s3blob`; pulumi/pulumi
`pkg/backend/diy/backend.go` for the old spellings).
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

from seedbed import UserError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_s3 import S3Client

VARIABLE = "PULUMI_BACKEND_URL"
_Reply = TypeVar("_Reply", bound=Mapping[str, Any])

META = ".pulumi/meta.yaml"
DEFAULT_REGION = "us-east-1"
"""What a request to a server that is not AWS is signed for where nobody says; Spaces takes it everywhere."""

SPACES = "https://{{.Region}}.digitaloceanspaces.com"
"""Where DigitalOcean's Spaces are, in the form of SPACES_ENDPOINT_URL.

Source: https://www.pulumi.com/registry/packages/digitalocean/installation-configuration/
"""

CONNECT_SECONDS = 5
READ_SECONDS = 15


class StoreError(UserError):
    """The store cannot be reached, or refuses; the message says which and why."""


class Store(Protocol):
    """What is tried on a store. Keys are relative to its prefix; every method raises StoreError."""

    @property
    def name(self) -> str:
        """What to call it in a message."""

    def put(self, key: str, body: bytes) -> None: ...
    def copy(self, key: str, to: str) -> None: ...
    def list(self, prefix: str) -> list[str]: ...
    def delete(self, key: str) -> None: ...

    def clock(self) -> datetime | None:
        """The store's own time as of its last reply; None where it is this machine's."""


@dataclass(frozen=True)
class S3Url:
    """An s3:// backend url, taken apart."""

    bucket: str
    prefix: str
    endpoint: str | None
    region: str | None
    path_style: bool
    profile: str | None

    def text(self) -> str:
        """The url again, with only such parameters as every supported CLI takes.

        From 3.245 on they are translated, and the checksums are those that servers other than AWS take; before, the newer
        names are an error (pulumi/pulumi `pkg/backend/diy/backend.go`; docs/adr/0002).
        """
        query = {"endpoint": self.endpoint, "region": self.region, "profile": self.profile}
        parameters = [f"{name}={quote(value, safe=':/')}" for name, value in query.items() if value]
        parameters += ["s3ForcePathStyle=true"] if self.path_style else []
        parameters += ["disableSSL=true"] if (self.endpoint or "").startswith("http://") else []
        prefix = f"/{quote(self.prefix.rstrip('/'))}" if self.prefix else ""
        return f"s3://{self.bucket}{prefix}" + (f"?{'&'.join(parameters)}" if parameters else "")


def parse_s3(url: str) -> S3Url:
    """Takes s3://BUCKET/PREFIX?endpoint=…&region=…&s3ForcePathStyle=… apart."""
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}

    def flag(*names: str) -> bool:
        return any(query.get(name, "").lower() in ("true", "1", "t") for name in names)

    endpoint = query.get("endpoint")
    plain = flag("disableSSL", "disable_https")
    if endpoint and "://" not in endpoint:
        endpoint = f"{'http' if plain else 'https'}://{endpoint}"
    prefix = unquote(parts.path).strip("/")
    return S3Url(
        bucket=parts.netloc,
        prefix=f"{prefix}/" if prefix else "",
        endpoint=endpoint,
        region=query.get("region") or query.get("awssdk_region"),
        path_style=flag("s3ForcePathStyle", "use_path_style"),
        profile=query.get("profile"),
    )


def spaces_endpoint(region: str, environment: Mapping[str, str]) -> str:
    """The url of a region's Spaces; SPACES_ENDPOINT_URL is read as the digitalocean provider does."""
    return (environment.get("SPACES_ENDPOINT_URL") or SPACES).replace("{{.Region}}", region)


def open_store(environment: Mapping[str, str]) -> Store:
    """The store of `PULUMI_BACKEND_URL`. Raises StoreError where it is unset or of a kind that cannot be tried."""
    url = environment.get(VARIABLE, "")
    if not url:
        raise StoreError(
            f'{VARIABLE} is not set. For the dev stack: eval "$(make -s env)". For your own: '
            "export it with the bucket's url, as in s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION"
        )
    scheme = url.partition("://")[0]
    if scheme == "s3":
        return S3Store(parse_s3(url), environment)
    if scheme == "file":
        return FileStore(Path(url.removeprefix("file://")).expanduser())
    raise StoreError(f"{VARIABLE} is a {scheme}:// url, and seedbed keeps state in S3-compatible buckets: use s3://")


def connect(url: S3Url, environment: Mapping[str, str]) -> "S3Client":
    """A client for the bucket's server, with the credentials that Pulumi would take. Raises BotoCoreError."""
    # Imported here: it takes a third of a second, which only the doctor needs to spend.
    import boto3
    from botocore.config import Config

    session = boto3.Session(
        aws_access_key_id=environment.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=environment.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=environment.get("AWS_SESSION_TOKEN"),
        region_name=url.region or environment.get("AWS_REGION") or DEFAULT_REGION,
        profile_name=url.profile,
    )
    return session.client(
        "s3",
        endpoint_url=url.endpoint,
        config=Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"max_attempts": 1},
            s3={"addressing_style": "path" if url.path_style else "auto"},
            # As Pulumi does with an endpoint of one's own: stores that are not AWS refuse the newer checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def explain(error: "ClientError", bucket: str) -> str:
    """What to do about an error of S3; the store's own words where it is not a usual one."""
    said = error.response.get("Error", {})
    code, message = str(said.get("Code", "")), str(said.get("Message", error))
    unknown_key = (
        'the store does not know this AWS_ACCESS_KEY_ID; a lab that was made anew has new keys: eval "$(make -s env)"'
    )
    return {
        "NoSuchBucket": f"the bucket {bucket!r} does not exist. If its name is right, make it on purpose: "
        "`seedbed state create`",
        "InvalidAccessKeyId": unknown_key,
        "XAdminUserNotFound": unknown_key,  # versitygw v1.8.0, s3err
        "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not belong to this AWS_ACCESS_KEY_ID",
        "AccessDenied": "the key may not do this; it needs to put, get, list and delete in this bucket (AccessDenied)",
        "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
    }.get(code, f"{message} ({code})" if code else message)


class S3Store:
    """A bucket."""

    def __init__(self, url: S3Url, environment: Mapping[str, str]) -> None:
        self._url = url
        self._environment = environment
        self._client: S3Client | None = None
        self._clock: datetime | None = None

    @property
    def name(self) -> str:
        return f"s3://{self._url.bucket}/{self._url.prefix}".rstrip("/")

    def put(self, key: str, body: bytes) -> None:
        self._ask("put", lambda s3: s3.put_object(Bucket=self._url.bucket, Key=self._url.prefix + key, Body=body))

    def copy(self, key: str, to: str) -> None:
        source = f"{self._url.bucket}/{self._url.prefix}{key}"
        target = self._url.prefix + to
        self._ask("copy", lambda s3: s3.copy_object(Bucket=self._url.bucket, Key=target, CopySource=source))

    def list(self, prefix: str) -> list[str]:
        whole = self._url.prefix + prefix
        reply = self._ask("list", lambda s3: s3.list_objects_v2(Bucket=self._url.bucket, Prefix=whole, MaxKeys=100))
        return [item["Key"].removeprefix(self._url.prefix) for item in reply.get("Contents", [])]

    def delete(self, key: str) -> None:
        self._ask("delete", lambda s3: s3.delete_object(Bucket=self._url.bucket, Key=self._url.prefix + key))

    def clock(self) -> datetime | None:
        return self._clock

    def _ask(self, verb: str, question: "Callable[[S3Client], _Reply]") -> _Reply:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            if self._client is None:
                self._client = connect(self._url, self._environment)
            reply = question(self._client)
        except ClientError as error:
            self._note_clock(error.response)
            raise StoreError(f"{self.name}: {verb}: {explain(error, self._url.bucket)}") from None
        except BotoCoreError as error:
            raise StoreError(f"{self.name}: {verb}: {error}") from None
        self._note_clock(reply)
        return reply

    def _note_clock(self, reply: Mapping[str, Any]) -> None:
        date = reply.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if date:
            self._clock = parsedate_to_datetime(date)


class FileStore:
    """A folder: what tests use, and a drill without a bucket."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def name(self) -> str:
        return f"file://{self._folder}"

    def put(self, key: str, body: bytes) -> None:
        if not self._folder.is_dir():
            raise StoreError(f"{self.name} does not exist. If its name is right, make it on purpose")
        with _explained(self.name):
            path = self._folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)

    def copy(self, key: str, to: str) -> None:
        with _explained(self.name):
            shutil.copyfile(self._folder / key, self._folder / to)

    def list(self, prefix: str) -> list[str]:
        if not self._folder.is_dir():
            raise StoreError(f"{self.name} does not exist. If its name is right, make it on purpose")
        with _explained(self.name):
            below = self._folder / os.path.dirname(prefix)  # noqa: PTH120  a key is not a path
            found = (p.relative_to(self._folder).as_posix() for p in below.iterdir()) if below.is_dir() else iter(())
            return sorted(key for key in found if key.startswith(prefix))

    def delete(self, key: str) -> None:
        with _explained(self.name):
            (self._folder / key).unlink()

    def clock(self) -> datetime | None:
        return None


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{name}: {error.strerror or error}") from None
