"""Who the cluster's members are, as one of its servers tells, and whether one of them may leave."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """A Node; `server` when it has the control plane, `votes` when its member of etcd is a healthy voter.

    `heard` while its kubelet still tells how it is, which may be: not Ready.
    """

    name: str
    server: bool
    ready: bool
    votes: bool
    heard: bool = True

    @property
    def well(self) -> bool:
        """Whether the cluster can rely on this server."""
        return self.ready and self.votes

    def __str__(self) -> str:
        return (
            f"{self.name} is {'Ready' if self.ready else 'not Ready'} and {'votes' if self.votes else 'does not vote'}"
        )


def parse(text: str) -> dict[str, Member]:
    """The members by name, of the lines that `nodes` in `common.sh` prints; others are passed over."""
    found = {}
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "node":
            name, server, ready, votes = rest.split("|")
            found[name] = Member(name, server == "true", ready == "True", votes == "True", ready in ("True", "False"))
    return found


def obstacle(others: Sequence[Member], *, alive: bool) -> str | None:
    """Why a server must not leave the servers `others`; None where it may.

    One that is alive has a vote which the others may need, so it waits until every one of them is well. One that is dead only
    does harm in etcd's count: it goes when those who are well are more than half of the members that remain.
    """
    ill = [member for member in others if not member.well]
    if not others:
        return "it is the only server: what etcd holds would be lost"
    if alive and ill:
        return f"another server is not well: {_listed(ill)}"
    if 2 * (len(others) - len(ill)) <= len(others):
        return f"the servers that are well are no quorum of those that would remain: {_listed(ill)}"
    return None


def stays_able(others: Sequence[Member]) -> bool:
    """Whether etcd goes on deciding when a further member is only stopped and not yet removed."""
    return 2 * sum(member.well for member in others) > len(others) + 1


def _listed(members: Sequence[Member]) -> str:
    return ", ".join(map(str, members))
