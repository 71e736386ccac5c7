"""How a machine is taken out of the cluster, by scripts on the servers that stay and on the machine itself.

Every part may be broken off and run again: a machine that has left half way is finished by the next run.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.remote import session
from components.remote.session import Login, NoClientError, ScriptError, UnreachableError
from components.retire import members
from components.retire.gate import Leaving, RetireError, Say
from components.retire.members import Member

SCRIPTS = Path(__file__).parent

READY_SECONDS = 15
"""For an API server to answer that has just begun again."""

WELL_SECONDS = 60
"""For the other servers to be well, each time that they must be."""

NOTICE_SECONDS = 90
"""For the cluster to notice that a machine is dead: it waits 50 s for a sign of life, and looks every 5 s.
Source: https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/ (node-monitor-grace-period)
"""

DELETE_SECONDS = 90
"""For k3s to remove the member of etcd; another server must first take over what the leaving one has led."""

STOP_SECONDS = 180
SHORT_SECONDS = 60
"""For the other scripts, which only ask."""

POLL_SECONDS = 3
PROGRESS_SECONDS = 10

AGAIN = "then run `pulumi up` again"


@dataclass(frozen=True, kw_only=True)
class Removal:
    """`private_key` logs in everywhere; `drain_seconds` is how long pods may take to go elsewhere."""

    private_key: str = field(repr=False)
    drain_seconds: int

    def __call__(self, leaving: Leaving, servers: Sequence[Login], say: Say) -> None:
        """See `components.retire.gate.Remove`."""
        name = leaving.login.machine
        try:
            _Leave(self, leaving, servers, say).run()
        except NoClientError as error:
            raise RetireError(f"{name} cannot leave: {error}, {AGAIN}") from None
        except (UnreachableError, ScriptError) as error:
            raise RetireError(f"{name} has not left yet: {error}. Look at that machine, {AGAIN}: it goes on") from None


class _Leave:
    """One machine on its way out, by way of a server that stays."""

    def __init__(self, removal: Removal, leaving: Leaving, servers: Sequence[Login], say: Say) -> None:
        self._removal, self._leaving, self._servers, self._say = removal, leaving, servers, say
        self._name = leaving.login.machine
        self._service = "k3s" if leaving.server else "k3s-agent"
        self._helper = leaving.login
        self._there: Mapping[str, Member] = {}
        self._told = False
        self._unreachable = False

    def run(self) -> None:
        self._find_helper()
        own = self._there.get(self._name)
        if own is None:
            self._say("the cluster does not know it any more: only what it has left behind is cleared")
            # A server that failed to join may have no Node and a vote all the same, which etcd needs to decide on its removal.
            self._end_if_reachable(self._end_later if self._leaving.server else self._end)
            self._remove()
            if self._leaving.server:
                self._end_if_reachable(self._end)
            return
        self._wait_for_successor()
        server = self._leaving.server or own.server
        alive = self._is_alive()
        if server:
            self._wait_until_it_may(alive)
        if alive:
            alive = self._drain()
        needed = False
        if server:
            # Once more, when what takes most time is done: from here on its vote is gone.
            self._look()
            self._wait_until_it_may(alive)
            # etcd could not decide on the removal if this server's vote were gone before.
            needed = not members.stays_able(self._others())
        if alive:
            alive = self._hold() if needed else self._stop()
        if not alive:
            self._leave_for_dead(self._end_later if needed else self._end)
        if server:
            self._look()
            self._wait_until_it_may(alive)
        self._remove()
        if needed and not (alive and self._stop()):
            self._end_if_reachable(self._end)
        if server:
            self._wait("the other servers", WELL_SECONDS, lambda: members.obstacle(self._others(), alive=alive))
        self._say("has left the cluster")

    def _find_helper(self) -> None:
        failed = []
        for login in self._servers:
            self._helper = login
            try:
                silent = self._look()
            except (UnreachableError, ScriptError) as error:
                silent = str(error)
            if silent is None:
                return
            failed.append(silent)
        raise RetireError(
            f"{self._name} cannot leave, and nothing was done: no server's API is to be had: "
            f"{'; '.join(failed) or 'there is no other server'}. Make one answer, {AGAIN}"
        )

    def _look(self) -> str | None:
        """Has the helper's API tell who is there; why it does not."""
        told = self._on(self._helper, "look", {"READY_SECONDS": str(READY_SECONDS)}, SHORT_SECONDS)
        self._told = told.endswith("seen\n")
        if not self._told:
            return f"{self._helper.machine} lets in, but {told.removeprefix('silent ').strip()}"
        self._there = members.parse(told)
        return None

    def _others(self) -> list[Member]:
        return [member for name, member in sorted(self._there.items()) if member.server and name != self._name]

    def _wait_for_successor(self) -> None:
        """With `pulumi up --continue-on-error` the engine deletes an old generation although the new one has failed."""
        name = self._leaving.successor

        def missing() -> str | None:
            found = self._there.get(name)
            if found is None:
                return f"{name}, which takes its place, is not in the cluster"
            if not (found.well if found.server else found.ready):
                return f"{name}, which takes its place, is not well: {found}"
            return None

        if name:
            self._wait(
                f"{name} to be in the cluster",
                WELL_SECONDS,
                missing,
                refused=lambda why: f"{self._name} stays: {why}. See why that one has not joined, {AGAIN}",
            )

    def _is_alive(self) -> bool:
        """Whether it is to be drained. A machine that tells itself that it is not Ready may only be about to be."""
        began = time.monotonic()
        told = began - PROGRESS_SECONDS
        while (own := self._there.get(self._name)) and own.heard and not own.ready:
            now = time.monotonic()
            if now - began > NOTICE_SECONDS:
                break
            if now - told >= PROGRESS_SECONDS:
                told = now
                self._say(f"is not Ready, and the cluster hears it: waiting for it to be, at most {NOTICE_SECONDS} s")
            time.sleep(POLL_SECONDS)
            self._look()
        return own is not None and own.ready and self._lets_in()

    def _lets_in(self) -> bool:
        """Whether the machine itself can be worked on; where it is only about to be found dead, that is waited for."""
        try:
            self._on(self._leaving.login, "greet", {}, SHORT_SECONDS)
        except UnreachableError as error:
            self._wait_until_dead(error)
            return False
        return True

    def _wait_until_dead(self, error: UnreachableError) -> None:
        self._unreachable = True
        self._say(f"{error}; waiting for the cluster to notice that it is dead")

        def heard() -> str | None:
            own = self._there.get(self._name)
            return f"the cluster hears it, but {error}" if own is not None and own.ready else None

        self._wait(
            "the cluster to notice",
            NOTICE_SECONDS,
            heard,
            refused=lambda why: (
                f"{self._name} cannot leave: {why}. What runs on it could not be ended: let SSH in, or power it off, {AGAIN}"
            ),
        )

    def _wait_until_it_may(self, alive: bool) -> None:
        self._wait("the other servers to be well", WELL_SECONDS, lambda: members.obstacle(self._others(), alive=alive))

    def _wait(
        self, what: str, seconds: float, hindered: Callable[[], str | None], refused: Callable[[str], str] | None = None
    ) -> None:
        """Until nothing hinders any more, by what the helper sees; raises RetireError when the time is over."""
        began = time.monotonic()
        told = began - PROGRESS_SECONDS
        while why := hindered() if self._told else f"the API of {self._helper.machine} does not answer":
            now = time.monotonic()
            if now - began > seconds:
                raise RetireError(
                    refused(why) if refused else f"{self._name} must not leave now: {why}. Make it well first, {AGAIN}"
                )
            if now - told >= PROGRESS_SECONDS:
                told = now
                self._say(f"waiting for {what}: {why}")
            time.sleep(POLL_SECONDS)
            self._look()

    def _drain(self) -> bool:
        """Whether the machine is empty; not when it has died meanwhile. Raises RetireError where pods stay."""
        seconds = self._removal.drain_seconds
        self._say(f"is drained, which may take {seconds} s")
        # What hangs in kubectl at the end has bounds of its own.
        told = self._on(self._helper, "drain", {"DRAIN_SECONDS": str(seconds)}, seconds + 2 * SHORT_SECONDS)
        facts = {word: rest for word, _, rest in (line.partition(" ") for line in told.splitlines()) if word}
        if "drained" in facts:
            return True
        if "dead" in facts:
            self._say("has died while it was drained")
            return False
        if "bare" in facts:
            raise RetireError(
                f"{self._name} cannot leave, and nothing was done: pods on it have no controller, so nothing would make them "
                f"again: {facts['pods']}. Delete them, or have a controller make them, {AGAIN}"
            )
        raise RetireError(self._stuck(facts))

    def _stuck(self, facts: Mapping[str, str]) -> str:
        left = f"pods {facts.get('pods') or '(none that can be seen)'}"
        if facts.get("replicas"):
            left = f"Longhorn's replicas {facts['replicas']}"
        budgets = (
            f", under the disruption budgets that allow nothing now: {facts['budgets']}" if facts.get("budgets") else ""
        )
        because = f" ({facts['because']})" if facts.get("because") and not budgets else ""
        return (
            f"{self._name} is not empty after {self._removal.drain_seconds} s: {left}{budgets}{because}. It takes nothing new. "
            f"Make room for them elsewhere, or raise seedbed:timeouts.drain, {AGAIN}: it goes on"
        )

    def _hold(self) -> bool:
        """As `_stop`, but k3s runs on until its member is removed."""
        return self._unless_dead(self._end_later)

    def _stop(self) -> bool:
        """Whether everything of the cluster has ended on the machine; not when it has died meanwhile."""
        return self._unless_dead(self._end)

    def _unless_dead(self, script: Callable[[], None]) -> bool:
        try:
            script()
        except UnreachableError as error:
            self._wait_until_dead(error)
            return False
        return True

    def _leave_for_dead(self, end: Callable[[], None]) -> None:
        self._say("is not Ready: it is taken for dead, so nobody waits for what was on it")
        if not self._end_if_reachable(end):
            then = "" if self._leaving.made else ": it must not come back as it is, so power it off or install it anew"
            self._say(f"could not be reached{then}")

    def _end_if_reachable(self, end: Callable[[], None]) -> bool:
        if not self._unreachable:
            try:
                end()
            except UnreachableError:
                self._unreachable = True
        return not self._unreachable

    def _end_later(self) -> None:
        self._on(self._leaving.login, "hold", {"SERVICE": self._service}, SHORT_SECONDS, alone=True)

    def _end(self) -> None:
        variables = {"SERVICE": self._service, "MOUNTS": "\n".join(self._leaving.mounts)}
        self._on(self._leaving.login, "stop", variables, STOP_SECONDS, alone=True)

    def _remove(self) -> None:
        variables = {"DELETE_SECONDS": str(DELETE_SECONDS), "SERVER": "yes" if self._leaving.server else ""}
        told = self._on(self._helper, "remove", variables, DELETE_SECONDS + 2 * SHORT_SECONDS)
        if told.endswith("kept\n"):
            raise RetireError(
                f"{self._name} has not left yet: k3s keeps its Node after {DELETE_SECONDS} s, so etcd may still count it. "
                f"Read the journal of k3s on {self._helper.machine}, {AGAIN}: it goes on"
            )
        self._there = members.parse(told)
        self._told = bool(self._there)

    def _on(self, login: Login, step: str, variables: Mapping[str, str], seconds: float, *, alone: bool = False) -> str:
        known = {"NODE": login.machine, "LEAVING": self._name, **variables}
        script = session.text(step, known, SCRIPTS / "common.sh", SCRIPTS / f"{step}.sh")
        prefix = f"{login.machine} {step}: "
        return session.run(
            login,
            self._removal.private_key,
            script,
            seconds=seconds,
            say=lambda line: self._say(line.removeprefix(prefix)),
            alone=alone,
        )
