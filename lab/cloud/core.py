"""What the resources of the cloud's API are made of.

A resource is a module in `lab/cloud/resources/`; every module there is found by itself. It has

- `ROUTES: tuple[Route, ...]`: method, path pattern (`{id}` matches one segment), handler;
- if it needs it, `resume(cloud)`: called once at the start of the process, before the first request;
- if it needs it, `reconcile(cloud)`: called in a thread of its own after the state changed, however it did (and once
  after the start): works out from the state what the hypervisor should have, and tells it where that is new. This is
  the way of firewalls and load balancers, which follow tags and droplets: no other module has to know of them.

A handler takes the request and the cloud and gives a `Reply`, or raises an `ApiError`. It holds the cloud's lock from
its begin to its end, so it sees and leaves a whole state, which is written to the file before the client gets the
answer; and it never waits. What takes time goes to a thread: `cloud.act` (with an action that the client can poll) or
`cloud.later` (without one). Such work runs without the lock and takes it with `cloud.reading()` or `cloud.changing()` for
objects; `cloud.hypervisor` is called only there and in `reconcile`, for one machine under `cloud.machine(id)`.

`lab.cloud.api` has requests, replies, errors and pages; this module the state and the work. Nothing is undone when a
handler raises: it checks all before it changes anything.

Objects are plain dicts as the API shows them; fields whose names begin with `_` are the cloud's own and `shown` leaves
them out. Whatever occupies addresses has them in `_public` and `_private` (text without prefix length) and its VPC in
`vpc_uuid`; whatever can be tagged has `tags`. Kinds in the store are the plural words of the API (`droplets`,
`volumes`, `load_balancers`, ...), ids are the API's.

`lab.cloud.resources.catalogue.region(slug)` is a region's object (or a 422), `lab.cloud.resources.tags.use(cloud, names)`
checks tags and makes those that are new.

An example, whole:

    def create(request: Request, cloud: Cloud) -> Reply:
        name = request.text("name")                                # 422 without it
        box = cloud.store.add("boxes", id := cloud.uuid(), {"id": id, "name": name, "status": "new", "tags": [], "_x": 1})

        def build() -> None:                                       # in a thread, without the lock
            with cloud.changing():                                 # the state is saved when it is left
                box["status"] = "active"

        cloud.later(build, cloud.delays.action)
        return Reply(201, {"box": shown(box)})


    def get(request: Request, cloud: Cloud) -> Reply:
        return Reply(200, {"box": shown(cloud.find("boxes", request.params["id"]))})   # 404 by itself


    def index(request: Request, cloud: Cloud) -> Reply:
        # one page of them, with `links` and `meta`
        return page(request, "boxes", [shown(box) for box in cloud.store.listed("boxes")])


    ROUTES = (
        Route("POST", "/v2/boxes", create),
        Route("GET", "/v2/boxes", index),
        Route("GET", "/v2/boxes/{id}", get),
    )

Sources: DigitalOcean's API reference, "Actions"; godo v1.236.0 (`action.go`), for the form that clients read.
"""

import copy
import re
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from urllib.parse import unquote

from lab.cloud.api import Reply, Request, not_found, unprocessable
from lab.cloud.hypervisor import Hypervisor
from lab.cloud.store import Object, Store

BALANCER_ADDRESSES, DROPLET_ADDRESSES, RESERVED_ADDRESSES = (3, 9), (20, 199), (200, 254)
"""First and last host number in the lab's /24 of what has a public address; for `Cloud.free_public`."""

_RETRY_SECONDS = 1.0
"""After a `reconcile` that failed."""


@dataclass(frozen=True)
class Route:
    """`pattern` is a path with `{name}` for one segment of anything."""

    method: str
    pattern: str
    handler: "Callable[[Request, Cloud], Reply]"

    def match(self, path: str) -> dict[str, str] | None:
        """The segments by name if the path fits."""
        expression = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(self.pattern))
        found = re.fullmatch(expression, path)
        return {name: unquote(value) for name, value in found.groupdict().items()} if found else None


@dataclass(frozen=True)
class Delays:
    """How long the cloud takes beyond what the hypervisor does; all in seconds.

    Args:
        action: of an action of a droplet or a volume.
        balancer: until a load balancer is active.
        settle: a list lacks what was made this short ago; a GET by id has it.
    """

    action: float = 0.3
    balancer: float = 0.5
    settle: float = 0.2


NO_DELAYS = Delays(0, 0, 0)
"""For tests."""


@dataclass(frozen=True)
class Account:
    """Whose cloud it is.

    Args:
        droplet_limit: how many it may have, as the next two.
        used_regions: where it has a default VPC from the start, as an account has that made a droplet there once; in
            others the first VPC becomes the default, which cannot be deleted.
    """

    droplet_limit: int = 25
    reserved_ip_limit: int = 5
    volume_limit: int = 100
    used_regions: tuple[str, ...] = ()


class Cloud:
    """The state, the machines behind it, and the work under way. Its methods say what they need of the lock."""

    def __init__(
        self,
        store: Store,
        hypervisor: Hypervisor,
        subnet: IPv4Network,
        delays: Delays = Delays(),
        account: Account = Account(),
        log: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        """`subnet` is where public addresses are from: a lab's /24."""
        self.store, self.hypervisor, self.subnet = store, hypervisor, subnet
        self.delays, self.account, self.log = delays, account, log
        self.reconcilers: Sequence[Callable[[Cloud], None]] = ()
        self._lock = threading.RLock()
        self._depth = 0
        self._things: dict[int | str, threading.RLock] = {}
        self._idle = threading.Condition()
        self._jobs = 0
        self._stale, self._reconciling = False, False

    # The state

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock; on leaving, what was changed is saved and `reconcile` follows. May be nested."""
        with self._lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if not self._depth and self.store.save():
                    self.reconcile_soon()

    def reading(self) -> AbstractContextManager[object]:
        """Hold the lock, and change nothing."""
        return self._lock

    def find(self, kind: str, id: str | int) -> Object:
        """The stored object. Raises a 404."""
        item = self.store.get(kind, id)
        if item is None:
            raise not_found()
        return item

    def tagged(self, kind: str, tag: str) -> list[Object]:
        """All of a kind that carry the tag (tags do not tell capitals from small letters)."""
        return [item for item in self.store.all(kind) if tag.casefold() in map(str.casefold, item.get("tags", ()))]

    @staticmethod
    def uuid() -> str:
        """A fresh id of a kind whose ids are UUIDs."""
        return str(uuid.uuid4())

    @staticmethod
    def now() -> str:
        """As the API writes times."""
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    # Addresses

    def free_public(self, first: int, last: int) -> str:
        """The first free address among `subnet[first]` to `subnet[last]`. Raises a 422 if there is none."""
        used = {item["_public"] for item in self._everything() if item.get("_public")}
        for number in range(first, last + 1):
            if str(self.subnet[number]) not in used:
                return str(self.subnet[number])
        raise unprocessable(f"no address is left between {self.subnet[first]} and {self.subnet[last]}")

    def free_private(self, vpc: str) -> str:
        """The first free address of the VPC, from its 10th on. Raises a 422 if there is none."""
        network = IPv4Network(self.find("vpcs", vpc)["ip_range"])
        used = {item["_private"] for item in self._everything() if item.get("vpc_uuid") == vpc and "_private" in item}
        for number in range(10, network.num_addresses - 1):
            if str(network[number]) not in used:
                return str(network[number])
        raise unprocessable(f"no address is left in the VPC's range {network}")

    def at(self, address: str | IPv4Address, kind: str = "droplets") -> Object | None:
        """Who has this public or private address."""
        wanted = str(address)
        for item in self.store.all(kind):
            if wanted in (item.get("_public"), item.get("_private")):
                return item
        return None

    def _everything(self) -> Iterator[Object]:
        for kind in self.store.kinds():
            yield from self.store.all(kind)

    # Work that takes time

    def machine(self, id: int | str) -> AbstractContextManager[object]:
        """For calls of the hypervisor for one droplet (or volume): one after another. Never taken holding the lock."""
        with self._lock:
            return self._things.setdefault(id, threading.RLock())

    def later(self, work: Callable[[], None], seconds: float = 0.0) -> None:
        """Do it in a thread, after `seconds`. An exception is logged."""

        def run() -> None:
            try:
                time.sleep(seconds)
                work()
            except Exception:  # one thing's failure must not end the cloud
                self.log(traceback.format_exc())
            finally:
                with self._idle:
                    self._jobs -= 1
                    self._idle.notify_all()

        with self._idle:
            self._jobs += 1
        threading.Thread(target=run, daemon=True).start()

    def act(
        self,
        type: str,
        resource_type: str,
        resource_id: str | int,
        region: Object | None,
        work: Callable[[], None] | None,
        seconds: float | None = None,
    ) -> Object:
        """An action that is in progress, and `work` for it in a thread; the action errs if that raises.

        Args:
            type: `create`, `power_off`, `attach_volume`, ...
            resource_type: `droplet`, `volume`, `reserved_ip`, ...
            resource_id: of whom; a text (a volume's) is not shown: clients expect a number or null.
            region: the region's object as the API shows it.
            work: runs without the lock; None: it never ends by itself.
            seconds: it waits first; None: `delays.action`.
        """
        with self.changing():
            number = self.store.number("actions", 2_100_000_000)
            action = self.store.add(
                "actions",
                number,
                {
                    "id": number,
                    "status": "in-progress",
                    "type": type,
                    "started_at": self.now(),
                    "completed_at": None,
                    "resource_id": resource_id if isinstance(resource_id, int) else None,
                    "resource_type": resource_type,
                    "region": region,
                    "region_slug": region["slug"] if region else None,
                    "_of": str(resource_id),
                },
            )

        if work is None:
            return action

        def run() -> None:
            status = "errored"
            try:
                work()
                status = "completed"
            finally:
                with self.changing():
                    action["status"], action["completed_at"] = status, self.now()

        self.later(run, self.delays.action if seconds is None else seconds)
        return action

    def actions_of(self, resource_type: str, resource_id: str | int) -> list[Object]:
        """Those of this one, oldest first."""
        of = (resource_type, str(resource_id))
        return [action for action in self.store.all("actions") if (action["resource_type"], action["_of"]) == of]

    def pending(self, resource_type: str, resource_id: str | int) -> bool:
        """Whether an action of this one is in progress."""
        return any(action["status"] == "in-progress" for action in self.actions_of(resource_type, resource_id))

    def resume(self, resumers: Sequence[Callable[["Cloud"], None]]) -> None:
        """After a start: actions that the last process left are errors; then each module's `resume`."""
        with self.changing():
            for action in self.store.all("actions"):
                if action["status"] == "in-progress":
                    action["status"], action["completed_at"] = "errored", self.now()
            for resumer in resumers:
                resumer(self)
        self.reconcile_soon()

    def reconcile_soon(self) -> None:
        """Have every `reconcile` run in a while; one round at a time, and one more after a change during it."""
        with self._idle:
            self._stale = True
            if self._reconciling or not self.reconcilers:
                return
            self._reconciling = True
        self.later(self._reconcile)

    def _reconcile(self) -> None:
        while True:
            with self._idle:
                if not self._stale:
                    self._reconciling = False
                    return
                self._stale = False
            for reconcile in self.reconcilers:
                try:
                    reconcile(self)
                except Exception:  # tried again
                    self.log(traceback.format_exc())
                    time.sleep(_RETRY_SECONDS)
                    self._stale = True

    def wait_idle(self, seconds: float = 10.0) -> bool:
        """Until no work is under way; False if that does not come about in time."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._jobs, seconds)


def dispatch(routes: Sequence[Route], request: Request, cloud: Cloud) -> Reply:
    """Find the handler and run it under the lock. Raises ApiError."""
    for route in sorted(routes, key=lambda route: route.pattern.count("{")):  # `/tags/all` before `/tags/{name}`
        params = route.match(request.path) if route.method == request.method else None
        if params is not None:
            with cloud.reading() if request.method == "GET" else cloud.changing():
                reply = route.handler(replace(request, params=params), cloud)
                # A copy: the objects may change while the client is told of them.
                return replace(reply, body=copy.deepcopy(reply.body))
    raise not_found()
