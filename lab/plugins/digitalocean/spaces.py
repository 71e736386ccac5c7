"""Spaces: buckets by their S3 interface, one request each. Everything but `call` blocks, and runs in threads.

boto3 is imported when the first request is made.
"""

import asyncio
import ipaddress
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from lab.plugins.protocol import PluginError

from .settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_SECONDS = 10
ANSWER_SECONDS = 60

_REMEDIES = {
    "InvalidAccessKeyId": "SPACES_ACCESS_KEY_ID is not a key of this account",
    "SignatureDoesNotMatch": "SPACES_SECRET_ACCESS_KEY does not belong to SPACES_ACCESS_KEY_ID",
    "AccessDenied": "the key of SPACES_ACCESS_KEY_ID may not do this: it needs full access",
    "BucketAlreadyExists": "someone else has a bucket of this name: choose another one",
    "BucketAlreadyOwnedByYou": "import it with `pulumi import … REGION,NAME`, or choose another name",
    "BucketNotEmpty": "empty it, or set forceDestroy and run `pulumi up` before the deletion",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
}

T = TypeVar("T")


class SpacesError(PluginError):
    """The store refuses, or cannot be reached; `code` is S3's, empty where there is none."""

    def __init__(self, code: str, message: str, status: int = 0) -> None:
        remedy = _REMEDIES.get(code, "")
        named = f" ({code})" if code else ""
        again = ". Run it again" if not remedy and (status in (0, 429) or status >= 500) else ""
        super().__init__(f"{message.rstrip('.')}{named}{f': {remedy}' if remedy else again}")
        self.code = code
        self.status = status

    @property
    def is_uncertain(self) -> bool:
        """Whether the request may have had its effect all the same."""
        return self.status == 0 or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def is_missing(self) -> bool:
        """Whether what was asked for is not there."""
        return self.status == HTTPStatus.NOT_FOUND or self.code.startswith("NoSuch")


class Spaces:
    """The buckets that the Spaces key of the settings reaches."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: dict[str, S3Client] = {}
        self._connecting = asyncio.Lock()

    async def call(self, region: str, question: "Callable[[S3Client], T]") -> T:
        """The store's answer, asked for again by boto3 where that does no harm. Raises SpacesError."""
        async with self._connecting:
            if region not in self._clients:
                self._clients[region] = await asyncio.to_thread(self._connect, region)
        return await asyncio.to_thread(_asked, self._clients[region], question)

    def _connect(self, region: str) -> "S3Client":
        settings = self._settings
        if not (settings.spaces_id and settings.spaces_secret):
            raise PluginError(
                "Spaces credentials not configured: set SPACES_ACCESS_KEY_ID and SPACES_SECRET_ACCESS_KEY, or"
                " digitalocean:spacesAccessId and digitalocean:spacesSecretKey"
            )
        import boto3
        from botocore.config import Config

        endpoint = settings.spaces_endpoint(region)
        session = boto3.Session(
            aws_access_key_id=settings.spaces_id,
            aws_secret_access_key=settings.spaces_secret,
            region_name="us-east-1",
        )
        return session.client(
            "s3",
            endpoint_url=endpoint,
            config=Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=ANSWER_SECONDS,
                retries={"mode": "standard", "max_attempts": settings.retries.most + 1},
                s3={"addressing_style": "path" if _is_address(endpoint) else "virtual"},
                # Stores that are not AWS refuse the newer checksums.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                proxies={} if _is_address(endpoint) else None,
            ),
        )


def _asked(client: "S3Client", question: "Callable[[S3Client], T]") -> T:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return question(client)
    except ClientError as error:
        said = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise SpacesError(str(said.get("Code", "")), str(said.get("Message", "")), status) from None
    except BotoCoreError as error:
        raise SpacesError("", str(error)) from None


def _is_address(url: str) -> bool:
    """Whether the URL has an IP address, before which no bucket's name can stand."""
    try:
        ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return False
    return True
