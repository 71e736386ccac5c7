"""Ask ArgoCD to look at git now, and wait until the cluster is as git says.

What is asked is answered: ArgoCD takes the annotation that asks for a refresh away together with the status that the
refresh gave, so a status without it is of after the question.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from seedbed import UserError
from seedbed.applications import APPLICATIONS, NAMESPACE, REFRESH, ROOT, SHORT_REVISION, Application, applications
from seedbed.kube import Api, RefusedError, items, section

APPLICATION_SETS = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/applicationsets"
REFRESH_SET = "argocd.argoproj.io/application-set-refresh"
"""Source: argo-cd v3.5.1, common/common.go, AnnotationApplicationSetRefresh; taken away at the end of a reconciliation."""

POLL_SECONDS = 0.5

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """How it ended: the wanted Applications and the root as they were at the last look, and what was late.

    `late` names each Application that did not get there in time, with why where its status alone does not say so.
    `blind` names the ApplicationSets that did not look for folders in time. All is well where both are empty.
    """

    applications: list[Application]
    late: dict[str, str]
    blind: list[str] = field(default_factory=list)


def sync(api: Api, wanted: Sequence[str], timeout: float, say: Say, poll: float = POLL_SECONDS) -> Outcome:
    """Refreshes everything, the root first, and waits at most `timeout` seconds for the `wanted` (none: all).

    `say` gets a line for each change, `poll` is in seconds. Raises UserError where nothing is planted, or an Application
    that is wanted does not exist.
    """
    watch = _Watch(api, time.monotonic() + timeout, say, poll)
    watch.refresh([ROOT])
    if not watch.until(lambda found: watch.settled(found[ROOT], found)):
        return watch.outcome([ROOT])
    blind = watch.refresh_sets()
    found = watch.look()
    if blind:
        return watch.outcome(wanted, blind)
    if missing := sorted(set(wanted) - found.keys()):
        raise UserError(f"there is no Application {', '.join(missing)}; there are {', '.join(found)}")
    watch.refresh([name for name in found if name != ROOT and (not wanted or name in wanted)])

    def all_settled(found: dict[str, Application]) -> bool:
        left = [name for name in ([ROOT, *wanted] if wanted else found) if not watch.settled(found[name], found)]
        # A push in the meantime: what was asked before it is asked again, or the two would never meet.
        if moved := [name for name in left if found[name].synced and watch.is_behind(found[name], found)]:
            watch.refresh([ROOT, *moved])
        watch.refresh([name for name in left if name not in watch.asked])
        return not left

    watch.until(all_settled)
    return watch.outcome(wanted)


@dataclass
class _Watch:
    api: Api
    deadline: float
    say: Say
    poll: float
    asked: set[str] = field(default_factory=set)
    found: dict[str, Application] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

    def look(self) -> dict[str, Application]:
        """All Applications by name; says what has changed since the last look."""
        found = {application.name: application for application in applications(self.api)}
        if ROOT not in found:
            raise UserError(
                f"there is no Application {ROOT} in namespace {NAMESPACE} of the cluster at {self.api.url}: "
                "nothing is planted there yet, which `pulumi up` does where the stack's settings have a section seed"
            )
        for name, application in found.items():
            if name in self.asked and not application.refreshing:
                self._tell(name, _state(application))
        self.found = found
        return found

    def refresh(self, names: Sequence[str]) -> None:
        """Asks for a look at git."""
        for name in names:
            self.asked.add(name)
            self._annotate(f"{APPLICATIONS}/{name}", REFRESH, "normal")

    def refresh_sets(self) -> list[str]:
        """Has every ApplicationSet look for folders; gives the names of those that have not done so in time."""
        for item in self.api.items(APPLICATION_SETS):
            self._annotate(f"{APPLICATION_SETS}/{section(item, 'metadata')['name']}", REFRESH_SET, "true")
        while True:
            waiting = [
                item
                for item in self.api.items(APPLICATION_SETS)
                if REFRESH_SET in section(item, "metadata", "annotations")
            ]
            for item in waiting:
                name = str(section(item, "metadata")["name"])
                for condition in items(section(item, "status").get("conditions")):
                    if condition.get("type") == "ErrorOccurred" and condition.get("status") == "True":
                        self._tell(f"ApplicationSet {name}", str(condition.get("message", "")))
            if not waiting or not self._sleep():
                return [str(section(item, "metadata")["name"]) for item in waiting]

    def until(self, done: Callable[[dict[str, Application]], bool]) -> bool:
        """Looks again and again; false where the time is over."""
        while not done(self.look()):
            if not self._sleep():
                return False
        return True

    def settled(self, application: Application, among: dict[str, Application]) -> bool:
        """Synced, by an answer to what was asked, and to the commit that the root is at where it follows the same."""
        return (
            application.name in self.asked
            and not application.refreshing
            and application.synced
            and not self.is_behind(application, among)
        )

    @staticmethod
    def is_behind(application: Application, among: dict[str, Application]) -> bool:
        """Whether it and the root, answers both, are at different commits of the same branch."""
        root = among[ROOT]
        return (
            application.source == root.source
            and application.revision != root.revision
            and not application.refreshing
            and not root.refreshing
        )

    def outcome(self, wanted: Sequence[str], blind: Sequence[str] = ()) -> Outcome:
        """The root and those that are wanted, or all, by the last look."""
        chosen = [a for a in self.found.values() if not wanted or a.name in wanted or a.name == ROOT]
        late = {a.name: self._why_late(a) for a in chosen if not self.settled(a, self.found)}
        return Outcome(chosen, late, list(blind))

    def _why_late(self, application: Application) -> str:
        """What its status does not say; empty where it is not Synced, which the status does say."""
        if application.name not in self.asked:
            return "not asked"
        if application.refreshing:
            return "no answer"
        return "" if not application.synced else f"not at the commit of {ROOT}"

    def _annotate(self, path: str, annotation: str, value: str) -> None:
        try:
            self.api.patch(path, {"metadata": {"annotations": {annotation: value}}})
        except RefusedError as error:
            if error.status != 404:  # deleted since it was listed
                raise

    def _tell(self, what: str, text: str) -> None:
        if self.said.get(what) != text:
            self.said[what] = text
            self.say(f"{what}: {text}")

    def _sleep(self) -> bool:
        left = self.deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(self.poll, left))
        return True


def _state(application: Application) -> str:
    at = f" at {application.revision[:SHORT_REVISION]}" if application.revision else ""
    return f"{application.sync}{at}{f' – {application.message}' if application.message else ''}"
