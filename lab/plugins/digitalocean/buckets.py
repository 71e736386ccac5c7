"""Spaces buckets and keys. Source: `spaces/resource_spaces_bucket.go`, `spaces/resource_spaces_key.go`."""

import asyncio
import secrets
from collections.abc import Iterable
from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.values import Properties

from . import creating
from .api import Body
from .errors import ApiError, LostError
from .fields import boolean, completed, integer, list_of, object_of, string
from .kind import MINUTE, Created, Failure, Kind, Times, live, region, remove
from .spaces import SpacesError
from .work import Work

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DOMAIN = "digitaloceanspaces.com"
_NO_RULES = "NoSuchLifecycleConfiguration"
_OURS = "BucketAlreadyOwnedByYou"


async def _create(work: Work, inputs: Properties) -> Created:
    """A bucket that was not there before, and is there after a request without a good answer, is ours."""
    where, name = inputs["region"].lower(), inputs["name"]
    if await _is_ours(work, where, name):
        raise SpacesError(_OURS, f"there is a bucket {name} already")
    try:
        await work.spaces.call(where, lambda s3: s3.create_bucket(Bucket=name, ACL=inputs["acl"]))
    except SpacesError as error:
        if error.code == "OperationAborted":
            # Another bucket of the name is being removed.
            await asyncio.sleep(work.retries.wait_min)
            await work.spaces.call(where, lambda s3: s3.create_bucket(Bucket=name, ACL=inputs["acl"]))
        elif not (error.code == _OURS or (error.is_uncertain and await _is_ours(work, where, name))):
            raise
    return Created(name)


async def _is_ours(work: Work, where: str, name: str) -> bool:
    """Whether there is a bucket that the key reaches; another's is told by the answer to its creation."""
    try:
        return await _exists(work, where, name)
    except SpacesError as error:
        if error.status == HTTPStatus.FORBIDDEN:
            return False
        raise


async def _settle(work: Work, id_: str, inputs: Properties) -> None:
    where = inputs["region"].lower()

    async def missing() -> str | None:
        return None if await _exists(work, where, id_) else "not shown by the store"

    await work.until(missing)
    await _configure(work, id_, {}, inputs)


async def _exists(work: Work, where: str, name: str) -> bool:
    try:
        await work.spaces.call(where, lambda s3: s3.head_bucket(Bucket=name))
    except SpacesError as error:
        if error.is_missing:
            return False
        raise
    return True


async def _configure(work: Work, name: str, old: Properties, new: Properties) -> None:
    """Puts what differs between the stored outputs and the inputs."""
    where = new["region"].lower()
    if old and old.get("acl") != new["acl"]:
        await work.spaces.call(where, lambda s3: s3.put_bucket_acl(Bucket=name, ACL=new["acl"]))
    wanted = bool((new.get("versioning") or {}).get("enabled"))
    if "versioning" in new and wanted != bool((old.get("versioning") or {}).get("enabled")):
        await work.spaces.call(where, lambda s3: _put_versioning(s3, name, enabled=wanted))
    rules = completed(BUCKET.inputs["lifecycleRules"], old.get("lifecycleRules"), new.get("lifecycleRules") or [])
    if rules != (old.get("lifecycleRules") or []):
        await work.spaces.call(where, lambda s3: _put_rules(s3, name, rules))


def _put_versioning(s3: "S3Client", name: str, *, enabled: bool) -> None:
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled" if enabled else "Suspended"})


def _put_rules(s3: "S3Client", name: str, rules: list[Properties]) -> None:
    if rules:
        converted: Any = [_rule_body(rule) for rule in rules]
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": converted})
    else:
        s3.delete_bucket_lifecycle(Bucket=name)


def _rule_body(rule: Properties) -> Body:
    body: Body = {
        "ID": rule.get("id") or f"tf-s3-lifecycle-{datetime.now(UTC):%Y%m%d%H%M%S%f}{secrets.token_hex(4)}",
        "Filter": {"Prefix": rule.get("prefix") or ""},
        "Status": "Enabled" if rule.get("enabled") else "Disabled",
    }
    if days := rule.get("abortIncompleteMultipartUploadDays"):
        body["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": days}
    if expiration := rule.get("expiration"):
        body["Expiration"] = (
            {"Date": datetime.combine(date.fromisoformat(expiration["date"]), datetime.min.time(), UTC)}
            if expiration.get("date")
            else {"Days": expiration["days"]}
            if expiration.get("days")
            else {"ExpiredObjectDeleteMarker": bool(expiration.get("expiredObjectDeleteMarker"))}
        )
    if days := (rule.get("noncurrentVersionExpiration") or {}).get("days"):
        body["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    return body


def _rule_shown(rule: Any) -> Properties:  # noqa: ANN401 (boto3's answer)
    shown: Properties = {"id": rule.get("ID", ""), "enabled": rule.get("Status") == "Enabled"}
    filter_ = rule.get("Filter") or {}
    if prefix := (filter_.get("And") or filter_).get("Prefix") or rule.get("Prefix"):
        shown["prefix"] = prefix
    if days := (rule.get("AbortIncompleteMultipartUpload") or {}).get("DaysAfterInitiation"):
        shown["abortIncompleteMultipartUploadDays"] = days
    if expiration := rule.get("Expiration"):
        shown["expiration"] = {
            **({"date": f"{expiration['Date']:%Y-%m-%d}"} if "Date" in expiration else {}),
            **({"days": expiration["Days"]} if "Days" in expiration else {}),
            **(
                {"expiredObjectDeleteMarker": expiration["ExpiredObjectDeleteMarker"]}
                if "ExpiredObjectDeleteMarker" in expiration
                else {}
            ),
        }
    if days := (rule.get("NoncurrentVersionExpiration") or {}).get("NoncurrentDays"):
        shown["noncurrentVersionExpiration"] = {"days": days}
    return shown


async def _read(work: Work, id_: str, state: Properties) -> Properties | None:
    where = str(state["region"]).lower()
    if not await _exists(work, where, id_):
        return None
    versioning = await work.spaces.call(where, lambda s3: s3.get_bucket_versioning(Bucket=id_))
    try:
        answer = await work.spaces.call(where, lambda s3: s3.get_bucket_lifecycle_configuration(Bucket=id_))
        rules = [_rule_shown(rule) for rule in answer.get("Rules") or []]
    except SpacesError as error:
        if error.code != _NO_RULES:
            raise
        rules = []
    return {
        "name": id_,
        "region": where,
        "bucketUrn": f"do:space:{id_}",
        "bucketDomainName": f"{id_}.{where}.{DOMAIN}",
        "endpoint": f"{where}.{DOMAIN}",
        "versioning": {"enabled": versioning.get("Status") == "Enabled"},
        "lifecycleRules": rules,
    }


async def _update(work: Work, id_: str, old: Properties, new: Properties) -> None:
    await _configure(work, id_, old, new)


async def _delete(work: Work, id_: str, state: Properties) -> None:
    where = str(state["region"]).lower()
    try:
        await work.spaces.call(where, lambda s3: s3.delete_bucket(Bucket=id_))
    except SpacesError as error:
        if error.is_missing:
            return
        if error.code != "BucketNotEmpty" or not state.get("forceDestroy"):
            raise
        await work.spaces.call(where, lambda s3: _empty(s3, id_))
        await work.spaces.call(where, lambda s3: s3.delete_bucket(Bucket=id_))


def _empty(s3: "S3Client", name: str) -> None:
    """Removes every version of every object; a page of the list has as many as one deletion takes."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
        items: Any = [
            {"Key": one["Key"], "VersionId": one["VersionId"]}
            for one in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        ]
        if items:
            s3.delete_objects(Bucket=name, Delete={"Objects": items, "Quiet": True})


def _problems(inputs: Properties) -> Iterable[Failure]:
    rules = inputs.get("lifecycleRules")
    for index, rule in enumerate(rules if isinstance(rules, list) else []):
        day = (rule.get("expiration") or {}).get("date") if isinstance(rule, dict) else None
        if isinstance(day, str):
            try:
                date.fromisoformat(day)
            except ValueError:
                yield Failure(
                    f"lifecycleRules[{index}].expiration.date", "cannot be parsed as RFC3339 Timestamp Format"
                )


def _identity(id_: str) -> tuple[str, Properties]:
    where, comma, name = id_.partition(",")
    if not (where and comma and name):
        raise PluginError("importing a Spaces bucket requires the format: <region>,<name>")
    return name, {"region": where, "forceDestroy": False, "acl": "private"}


BUCKET = Kind(
    token="digitalocean:index/spacesBucket:SpacesBucket",  # noqa: S106
    noun="bucket",
    inputs={
        "name": string(required=True, replaces=True),
        "region": region(default="nyc3"),
        "acl": string(default="private"),
        "versioning": object_of({"enabled": boolean(default=False)}, computed=True),
        "lifecycleRules": list_of(
            object_of(
                {
                    "id": string(computed=True),
                    "prefix": string(),
                    "enabled": boolean(required=True),
                    "abortIncompleteMultipartUploadDays": integer(),
                    "expiration": object_of(
                        {"date": string(), "days": integer(least=0), "expiredObjectDeleteMarker": boolean()}
                    ),
                    "noncurrentVersionExpiration": object_of({"days": integer(least=1)}),
                }
            )
        ),
        "forceDestroy": boolean(default=False),
    },
    computed=("bucketDomainName", "bucketUrn", "endpoint"),
    create=_create,
    read=_read,
    update=_update,
    delete=_delete,
    settle=_settle,
    problems=_problems,
    identity=_identity,
    times=Times(create=5 * MINUTE),
    by_api=False,
)


async def _create_key(work: Work, inputs: Properties) -> Created:
    """The secret is in the answer only: a key whose answer is lost is removed, and made anew."""
    body = _key_body(inputs)
    tried = 0
    while True:
        tried += 1
        began = creating.now()
        try:
            made = (await work.api.once("spaces_key", "create", body=body, log=work.log))["key"]
        except (ApiError, LostError) as error:
            if not error.is_uncertain:
                raise
            await _remove_lost(work, inputs["name"], began)
            if tried > work.retries.most:
                raise PluginError(f"{error}. What the account shows of it is removed: run it again") from None
            continue
        return Created(
            str(made["access_key"]),
            {"accessKey": made["access_key"], "secretKey": made["secret_key"]},
        )


async def _remove_lost(work: Work, name: str, began: float) -> None:
    for units in creating.LOOKS:
        await asyncio.sleep(units * work.retries.wait_min)
        found = [
            one
            for one in await work.api.find("spaces_key", "list", "keys")
            if one["name"] == name and creating.since(work, began, one["created_at"])
        ]
        for one in found:
            await remove(work, "spaces_key", one["access_key"])
        if found:
            return


def _key_body(inputs: Properties) -> Body:
    return {"name": inputs["name"], "grants": inputs.get("grants") or []}


async def _read_key(work: Work, id_: str, state: Properties) -> Properties | None:  # noqa: ARG001
    key = await live(work, "spaces_key", "key", id_)
    if key is None:
        return None
    return {
        "name": key["name"],
        "accessKey": key["access_key"],
        "createdAt": key["created_at"],
        "grants": [
            {"bucket": one.get("bucket") or "", "permission": one.get("permission") or ""}
            for one in key.get("grants") or []
        ],
    }


async def _update_key(work: Work, id_: str, old: Properties, new: Properties) -> None:  # noqa: ARG001
    await work.api.ask("spaces_key", "update", id_, body=_key_body(new), log=work.log)


async def _delete_key(work: Work, id_: str, state: Properties) -> None:  # noqa: ARG001
    await remove(work, "spaces_key", id_)


KEY = Kind(
    token="digitalocean:index/spacesKey:SpacesKey",  # noqa: S106
    noun="Spaces key",
    inputs={
        "name": string(required=True),
        "grants": list_of(
            object_of(
                {
                    "bucket": string(required=True, may_be_empty=True),
                    "permission": string(required=True, values=("read", "readwrite", "fullaccess")),
                }
            )
        ),
    },
    computed=("accessKey", "createdAt", "secretKey"),
    create=_create_key,
    read=_read_key,
    update=_update_key,
    delete=_delete_key,
    hidden=frozenset({"secretKey"}),
    times=Times(create=5 * MINUTE, update=5 * MINUTE, delete=5 * MINUTE),
)
