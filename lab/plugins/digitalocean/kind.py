"""What a kind of resource is: its properties, and how the API makes, shows, changes and removes it."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus

from lab.plugins.protocol.values import Properties, Value

from .api import Body
from .errors import ApiError
from .fields import Field, set_of, string
from .work import Work

MINUTE = 60.0
HOUR = 3600.0

TAG = re.compile(r"[a-zA-Z0-9:\-_]{1,255}")
TAG_SAYS = "letters, numbers, colons, dashes, and underscores; there is a limit of 255 characters per tag"


@dataclass(frozen=True)
class Failure:
    """One input that is wrong; `reason` never repeats the value."""

    property: str
    reason: str


@dataclass(frozen=True)
class Created:
    """What was made: its ID, and outputs that the API shows only now."""

    id: str
    outputs: Properties = field(default_factory=dict)


@dataclass(frozen=True)
class Times:
    """Seconds that an operation may take where the program says nothing (`schema.ResourceTimeout`)."""

    create: float = 20 * MINUTE
    update: float = 20 * MINUTE
    delete: float = 20 * MINUTE


async def _nothing(work: Work, id_: str, inputs: Properties) -> None:
    """There is nothing to wait for."""


def _passed_through(id_: str) -> tuple[str, Properties]:
    return id_, {}


def _no_problems(inputs: Properties) -> Iterable[Failure]:  # noqa: ARG001
    return ()


def _named(inputs: Properties) -> str:
    return str(inputs.get("name", ""))


@dataclass(frozen=True)
class Kind:
    """One type of resource.

    Args:
        token: Pulumi's name of the type.
        noun: what messages call it; `label` says which one.
        inputs: by their Pulumi names.
        computed: the names of outputs that are no inputs.
        create: makes it of the inputs, which are bare and complete.
        read: the properties that the API shows, None where it is gone. Gets the ID and the stored outputs.
        update: changes it from the stored outputs to the inputs; None where every change replaces it.
        delete: removes it; it may be gone already.
        settle: what is left to do with what was created of the inputs: waits until it is ready, connects it.
        renews: outputs that an update from one state to new inputs makes unknown in a preview.
        problems: what is wrong with the inputs as a whole; inputs that are not known yet are not among them.
        forbids: the reason why a change from the stored outputs to the inputs cannot be, empty if it can.
        identity: the ID and the properties that an import ID stands for.
        auto_name: the engine names it where the program does not.
        by_api: the API is asked for it; for buckets, only their store.
        hidden: outputs that are always secret.
        schema_version: of the official state, where it is not the first.
    """

    token: str
    noun: str
    inputs: Mapping[str, Field]
    computed: tuple[str, ...]
    create: Callable[[Work, Properties], Awaitable[Created]]
    read: Callable[[Work, str, Properties], Awaitable[Properties | None]]
    delete: Callable[[Work, str, Properties], Awaitable[None]]
    update: Callable[[Work, str, Properties, Properties], Awaitable[None]] | None = None
    settle: Callable[[Work, str, Properties], Awaitable[None]] = _nothing
    renews: Callable[[Properties, Properties], Iterable[str]] = lambda old, new: ()  # noqa: ARG005
    problems: Callable[[Properties], Iterable[Failure]] = _no_problems
    forbids: Callable[[Properties, Properties], str] = lambda old, new: ""  # noqa: ARG005
    identity: Callable[[str], tuple[str, Properties]] = _passed_through
    label: Callable[[Properties], str] = _named
    times: Times = Times()
    auto_name: bool = True
    by_api: bool = True
    hidden: frozenset[str] = frozenset()
    schema_version: str = ""


def region(**settings: Value) -> Field:
    """A region's slug, which is in small letters whatever was written."""
    return string(stored=str.lower, replaces=True, **settings)


def tags() -> Field:
    """Names of tags (`tag/tags.go`)."""
    return set_of(string(pattern=TAG, form_says=TAG_SAYS))


async def live(work: Work, group: str, key: str, *ids: Value, method: str = "get") -> Body | None:
    """What the API shows under `key`, None where it is gone."""
    try:
        found = await work.api.ask(group, method, *ids, log=work.log)
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise
    answer: Body = found[key]
    return answer


async def remove(work: Work, group: str, *ids: Value, method: str = "delete") -> None:
    """Removes what may be gone already."""
    try:
        await work.api.ask(group, method, *ids, log=work.log)
    except ApiError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise


async def retag(work: Work, id_: str, kind: str, old: Properties, new: Properties) -> None:
    """Takes tags away and gives new ones, which are made where there are none yet (`tag/tags.go`, SetTags)."""
    before, after = ([str(tag) for tag in one.get("tags") or []] for one in (old, new))
    body = {"resources": [{"resource_id": id_, "resource_type": kind}]}
    for tag in before:
        if tag not in after:
            await remove_tag(work, tag, body)
    for tag in after:
        if tag not in before:
            await work.api.ask("tags", "create", body={"name": tag}, log=work.log)
            await work.api.ask("tags", "assign_resources", tag, body=body, log=work.log)


async def remove_tag(work: Work, tag: str, body: Body) -> None:
    """Takes the tag from the resources of the body; a tag that is gone is on none."""
    try:
        await work.api.ask("tags", "unassign_resources", tag, body=body, log=work.log)
    except ApiError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise


def go_time(text: str) -> str:
    """A time of the API as Go prints it, which is how the official state has some: `2026-11-21 10:00:00 +0000 UTC`."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
    except ValueError:
        return text
    fraction = f".{moment.microsecond:06d}".rstrip("0") if moment.microsecond else ""
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


def given(**values: Value) -> Body:
    """The values that are something."""
    return {key: value for key, value in values.items() if value not in (None, "", [])}
