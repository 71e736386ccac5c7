"""The gate that machines leave by: a hook of the engine on everything that must not go before the machine has left."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.metal import Host
from components.remote.session import Login

HOOK = "retire"
"""In the state with every machine: the engine cannot delete one when nothing of this name is registered."""

DROPLET = "digitalocean:index/droplet:Droplet"


class RetireError(Exception):
    """The machine must not leave, or could not: the message is one line, and says what to do."""


@dataclass(frozen=True, kw_only=True)
class Leaving:
    """A machine that leaves, as it was when it was paved; `mounts` are the mount points of volumes that outlive it."""

    login: Login
    server: bool
    mounts: Sequence[str]


Say = Callable[[str], None]

Remove = Callable[[Leaving, Sequence[Login], Say], None]
"""Takes a machine out of the cluster by way of the servers that stay. Raises RetireError; may run again at any point."""


class Gate:
    """Lets go of machines whose full names are on the list `retire`, one at a time, when `remove` has taken them out.

    `source` is the file that has the list; `servers` are the full names of all of today's. Where each of them is on the list, the
    cluster itself is given up, and nothing is asked of it.
    """

    def __init__(self, *, retire: Collection[str], servers: Collection[str], source: str, remove: Remove) -> None:
        self._retire, self._source, self._remove = retire, source, remove
        self._given_up = set(servers) <= set(retire)
        self._logins: dict[str, Login] = {}
        self._passed: set[str] = set()
        self._refused = False
        self._turn = asyncio.Lock()
        # In the preview as well, which is where a person sees it.
        self.hook = pulumi.ResourceHook(HOOK, self._pass, pulumi.ResourceHookOptions(on_dry_run=True))

    def server(self, full_name: str, host: Host) -> None:
        """One of today's servers, by way of which others are taken out."""

        def known(address: str) -> None:
            self._logins[full_name] = Login(
                machine=full_name, address=address, port=host.port, user=host.user, host_key=host.host_key
            )

        pulumi.Output.from_input(host.address).apply(known)

    def removes_nothing(self) -> list[str]:
        """Names on the list that nothing was removed for; none as long as the gate refused anything."""
        return [] if self._refused else sorted(set(self._retire) - self._passed)

    async def _pass(self, args: pulumi.ResourceHookArgs) -> None:
        machine = args.name if args.type == DROPLET else str((args.old_outputs or {})["output"]["machine"])
        if machine not in self._retire:
            self._refused = True
            raise RetireError(
                f"{machine} would be removed, and is not on seedbed:retire in {self._source}: add it there if it shall leave "
                "the cluster, or put it back into the settings"
            )
        self._passed.add(machine)
        # A droplet goes after its member (the member's address is the droplet's), which has been through the gate then.
        if pulumi.runtime.is_dry_run() or args.type == DROPLET:
            return
        if self._given_up:
            pulumi.log.info(
                f"{machine}: every server is on seedbed:retire, so the cluster is given up: nothing is drained"
            )
            return
        await self._take_out(leaving(args.old_outputs or {}))

    async def _take_out(self, machine: Leaving) -> None:
        name = machine.login.machine
        loop = asyncio.get_running_loop()

        def say(text: str) -> None:
            # From the thread that works: the SDK's log belongs to the loop.
            loop.call_soon_threadsafe(pulumi.log.info, f"{name}: {text}")

        # One at a time, whatever the engine does at once.
        async with self._turn:
            others = [login for server, login in sorted(self._logins.items()) if server != name]
            await asyncio.to_thread(self._remove, machine, others, say)


def leaving(outputs: Mapping[str, Any]) -> Leaving:
    """The machine that the state remembers as `outputs` of its member."""
    member = outputs["output"]
    login = member["login"]
    return Leaving(
        login=Login(
            machine=str(member["machine"]),
            address=str(login["address"]),
            port=int(login["port"]),
            user=str(login["user"]),
            host_key=str(login["hostKey"]),
        ),
        server=member["paved"]["role"] == "server",
        mounts=[str(place) for place in member["mounts"]],
    )
