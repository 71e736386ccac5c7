"""The gate that machines leave by: a hook of the engine on everything that must not go before the machine has left."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import pulumi

from components.metal.host import Host
from components.remote.session import Login

HOOK, HAND_OVER, KEEP = "retire", "hand-over", "keep"
"""In the state with every machine and volume: the engine cannot delete one when nothing of these names is registered."""

HOLDER = "-holder"
"""Behind a volume's name: the name of what remembers the machine that it is in."""

DROPLET = "digitalocean:index/droplet:Droplet"


class RetireError(Exception):
    """The machine must not leave, or could not: the message is one line, and says what to do."""


@dataclass(frozen=True, kw_only=True)
class Leaving:
    """A machine that leaves, as it was when it was paved; `mounts` are the mount points of volumes that outlive it.

    `made` by a cloud, it is deleted when it has left; else it is somebody's own, and stays on. `successor` is the full name of
    the generation that has to be in the cluster before it leaves; empty where there is none.
    """

    login: Login
    server: bool
    mounts: Sequence[str]
    made: bool = False
    successor: str = ""


Say = Callable[[str], None]

Follows = Callable[[str, Mapping[str, Any]], Sequence[str]]
"""Why today's generation must not follow one of this full name that was paved with this."""

Remove = Callable[[Leaving, Sequence[Login], Say], None]
"""Takes a machine out of the cluster by way of the servers that stay. Raises RetireError; may run again at any point."""


class Gate:
    """Lets go of machines whose full names are on the list `retire`, one at a time, when `remove` has taken them out.

    `source` is the file that has the list; `machines` are the full names of all of today's, `servers` of those that are servers.
    Where each server is on the list, the cluster itself is given up, and nothing is asked of it. `follows` is asked in a preview.

    `hook` is for what must not go before its machine has left. `hand_over` is for the holder of a volume, whose input names the
    machine that it is in: it takes the one before out of the cluster. `keep` is for the attachment, which comes after the holder.
    """

    def __init__(
        self,
        *,
        retire: Collection[str],
        machines: Collection[str],
        servers: Collection[str],
        source: str,
        remove: Remove,
        follows: Follows = lambda _machine, _paved: (),
    ) -> None:
        self._retire, self._source, self._remove, self._follows = retire, source, remove, follows
        self._machines, self._servers = machines, servers
        self._given_up = set(servers) <= set(retire)
        self._logins: dict[str, Login] = {}
        self._droplets: dict[int, str] = {}
        self._passed: set[str] = set()
        self._fewer_servers = False
        self._refused = False
        self._turn = asyncio.Lock()
        # In the preview as well, which is where a person sees it.
        options = pulumi.ResourceHookOptions(on_dry_run=True)
        self.hook = pulumi.ResourceHook(HOOK, self._pass, options)
        self.hand_over = pulumi.ResourceHook(HAND_OVER, self._hand_over, options)
        self.keep = pulumi.ResourceHook(KEEP, self._keep, options)

    def droplet(self, full_name: str, id_: pulumi.Output[str]) -> None:
        """One of today's machines, as an attachment knows it."""

        def known(id_: str) -> None:
            self._droplets[int(id_)] = full_name

        id_.apply(known)

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

    def keeps_servers(self) -> bool:
        """Whether no server leaves without a next generation; False as well when the cluster is given up, or anything refused."""
        return not (self._refused or self._given_up or self._fewer_servers)

    async def _pass(self, args: pulumi.ResourceHookArgs) -> None:
        if args.type == DROPLET and not (args.old_outputs or {}).get("ipv4Address"):
            return  # it never got active, so nobody has logged in to it: `pulumi up --replace` is its way out
        machine = args.name if args.type == DROPLET else str((args.old_outputs or {})["output"]["machine"])
        if machine not in self._retire:
            self._refuse(
                f"{machine} would be removed, and is not on seedbed:retire in {self._source}: add it there if it shall leave "
                "the cluster, or put it back into the settings"
            )
        self._passed.add(machine)
        if args.type != DROPLET and leaving((args.old_outputs or {})["output"]).server:
            stay = {full_name.rpartition("-")[0] for full_name in self._machines}
            self._fewer_servers |= machine.rpartition("-")[0] not in stay
        if pulumi.runtime.is_dry_run() and args.type != DROPLET:
            self._preview(machine, (args.old_outputs or {})["output"]["paved"])
        # A droplet goes after its member (the member's address is the droplet's), which has been through the gate then.
        if pulumi.runtime.is_dry_run() or args.type == DROPLET:
            return
        if self._given_up:
            pulumi.log.info(
                f"{machine}: every server is on seedbed:retire, so the cluster is given up: nothing is drained"
            )
            return
        await self._take_out(leaving((args.old_outputs or {})["output"]))

    def _preview(self, machine: str, paved: Mapping[str, Any]) -> None:
        if problems := self._follows(machine, paved):
            self._refuse("; ".join(problems))
        if self._given_up and machine not in self._machines:
            pulumi.log.warn(
                f"{machine} would not be drained, nor taken out of the cluster: every server is on seedbed:retire in {self._source}, "
                "which gives the cluster up. Take them off the list where it is to live on"
            )

    async def _hand_over(self, args: pulumi.ResourceHookArgs) -> None:
        # Of a Stash that is updated, the output is what its first input was.
        old, new = ((inputs or {})["input"] for inputs in (args.old_inputs, args.new_inputs))
        volume, machine, other = args.name.removesuffix(HOLDER), str(old["machine"]), str(new["machine"])
        if machine == other or self._given_up:
            return
        if machine in self._machines:
            self._refuse(
                f"volume {volume} would move from {machine} to {other}, and {machine} stays: what is mounted is not taken from a "
                f"machine that runs. Leave it there, or let {machine} leave too: replace it or take it out of the settings, and "
                f"add it to seedbed:retire in {self._source}"
            )
        if machine not in self._retire:
            self._refuse(
                f"volume {volume} would move from {machine} to {other}, and {machine} is not on seedbed:retire in {self._source}: "
                "add it there if it shall leave the cluster, or put it back into the settings"
            )
        if leaving(old).server and not set(self._servers) - {other}:
            self._refuse(
                f"volume {volume} is in {machine}, the only server: it cannot leave before {other} has joined, nor {other} join "
                "without the volume. Add another server first, in a change of its own"
            )
        if not pulumi.runtime.is_dry_run():
            pulumi.log.info(f"{machine}: leaves before {other} joins, which gets its volume {volume}")
            await self._take_out(leaving(old), not_yet=other)

    async def _keep(self, args: pulumi.ResourceHookArgs) -> None:
        machine = self._droplets.get(int((args.old_outputs or {})["dropletId"]))
        if machine is not None and not self._given_up:
            self._refuse(
                f"volume {args.name} would be detached from {machine}, which stays: what is mounted is not taken from a machine "
                f"that runs. Put it back into the settings, or give {machine} a new generation in the same change"
            )

    def _refuse(self, why: str) -> NoReturn:
        self._refused = True
        raise RetireError(why)

    async def _take_out(self, machine: Leaving, not_yet: str = "") -> None:
        """By way of the servers but itself and the one that has `not_yet` joined."""
        name = machine.login.machine
        if not not_yet:
            short = name.rpartition("-")[0]
            later = [other for other in self._machines if other != name and other.rpartition("-")[0] == short]
            machine = replace(machine, successor="".join(later))
        loop = asyncio.get_running_loop()

        def say(text: str) -> None:
            # From the thread that works: the SDK's log belongs to the loop.
            loop.call_soon_threadsafe(pulumi.log.info, f"{name}: {text}")

        # One at a time, whatever the engine does at once.
        async with self._turn:
            others = [login for server, login in sorted(self._logins.items()) if server not in (name, not_yet)]
            await asyncio.to_thread(self._remove, machine, others, say)


def leaving(member: Mapping[str, Any]) -> Leaving:
    """The machine that the state remembers as `member`."""
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
        mounts=[str(place) for place in member.get("mounts", [])],
        made="size" in member["paved"],
    )
