"""Labs for the tests, beside whatever lab the machine has: names `t…`, a free subnet of 10.77.100-199."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]
from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

from lab import LabError, machine, stack_lab
from lab.lab import Lab, down
from lab.spec import HostSpec, LabSpec
from tools.progress import Progress

ROOT = Path(os.environ.get("SEEDBED_LAB_ROOT") or Path(__file__).parents[2] / ".lab").absolute()
OWNER = "owner"


SHARED = ("rehearsal", "seed")
"""Folders whose files share a stack."""

LONGEST_FIRST = (
    "rehearsal",
    "seed",
    "replacing/test_servers.py",
    "replacing/test_agents.py",
    "test_faults.py",
    "test_seed_faults.py",
    "test_first_light.py",
)
"""Groups of tests in the order in which they begin, where several run at once; all others follow."""

LAST_WORDS = 3000
"""Characters of a failure that are shown when it happens."""

_told: set[str] = set()


class ByStack(LoadScopeScheduling):  # type: ignore[misc]
    """What shares a stack stays on one worker: a file, or a folder of `SHARED`."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid.partition("::")[0])

    def _reschedule(self, node: WorkerController) -> None:
        """Not already with two tests left, as xdist does: they may take minutes, in which another gets free."""
        if self.workqueue and self._pending_of(self.assigned_work[node]) > 1:
            return
        super()._reschedule(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByStack:
    """Not pytest-xdist's own `loadgroup`: 3.8.0 marks the groups where pytest 9 does not read them."""
    return ByStack(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = machine.why_not()
    folder = Path(__file__).parent
    own = [item for item in items if folder in item.path.parents]
    for item in own:
        item.add_marker(pytest.mark.lab)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
    places = {item: items.index(item) for item in own}
    for place, item in zip(sorted(places.values()), sorted(own, key=_rank), strict=True):
        items[place] = item


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Says at once why a test has failed: its group may take minutes yet, and all of them half an hour."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ and report.longreprtext not in _told:
        _told.add(report.longreprtext)
        print(f"\n{report.nodeid}:\n{report.longreprtext[-LAST_WORDS:]}", flush=True)


def _rank(item: pytest.Item) -> int:
    group = _group(item.nodeid.partition("::")[0])
    return LONGEST_FIRST.index(group) if group in LONGEST_FIRST else len(LONGEST_FIRST)


def _group(path: str) -> str:
    """A path below this folder, or the folder in it whose files share a stack."""
    below = path.rpartition("tests/lab/")[2]
    folder = below.partition("/")[0]
    return folder if folder in SHARED else below


def new_key() -> tuple[str, str]:
    """A fresh ed25519 key: OpenSSH private PEM, and its public half."""
    key = Ed25519PrivateKey.generate()
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode(),
        key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
    )


def host_specs(
    subnet: IPv4Network, names: Sequence[str], host_key: Callable[[str], str] = lambda _: new_key()[0]
) -> list[HostSpec]:
    """Hosts of these names at .11, .12, …; `host_key` gives the private key of a name."""
    return [HostSpec(name, str(subnet[11 + i]), host_key(name)) for i, name in enumerate(names)]


def new_spec(operator: tuple[str, str] | None = None, ca_certificates: Sequence[str] = ()) -> LabSpec:
    """A lab that does not exist yet; `operator` is (private, public)."""
    private, public = operator or new_key()
    name = f"t{secrets.token_hex(3)}"
    return LabSpec(name, ROOT / name, _free_subnet(), public, private, tuple(ca_certificates))


def _free_subnet() -> IPv4Network:
    """One that no lab has claimed, and that no other worker of this run takes before this one's lab claims it.

    Any of them, so that another run that looks at the same time hardly comes to the same.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    taken = {claim.subnet for claim in machine.claims()}
    own = (IPv4Network(f"10.77.{number}.0/24") for number in range(100 + worker, 200, workers))
    return secrets.choice([subnet for subnet in own if subnet not in taken])


LabFactory = Callable[..., Lab]


@pytest.fixture(scope="session")
def lab_factory() -> Iterator[LabFactory]:
    """Makes labs that live until the end of the session: `lab_factory(hosts=["server-a-1"])`.

    More arguments: `operator`, a (private, public) pair; `host_key`, which gives a name's private key;
    `ca_certificates`; `wait`, false to return before the hosts let anybody in.
    """
    _remove_abandoned()
    made: list[Lab] = []

    def make(
        hosts: Sequence[str],
        operator: tuple[str, str] | None = None,
        host_key: Callable[[str], str] = lambda _: new_key()[0],
        ca_certificates: Sequence[str] = (),
        wait: bool = True,
    ) -> Lab:
        for attempt in range(5):
            spec = new_spec(operator, ca_certificates)
            try:
                lab = Lab.ensure(spec, host_specs(spec.subnet, hosts, host_key), Progress())
                break
            except LabError as error:  # another session took the subnet between the look and the claim
                if not str(error).startswith("subnet") or attempt == 4:
                    down(spec.name, spec.directory, Progress())
                    raise
        made.append(lab)
        (spec.directory / OWNER).write_text(str(os.getpid()))
        for name in hosts if wait else ():
            lab.wait_ready(name)
        return lab

    yield make
    for lab in made:
        (lab.spec.directory / OWNER).unlink(missing_ok=True)
        lab.down(Progress())


def _remove_abandoned() -> None:
    """Remove the labs of sessions that were killed."""
    for claim in machine.claims():
        owner = claim.directory / OWNER
        if claim.name.startswith("t") and owner.exists() and not Path(f"/proc/{owner.read_text()}").exists():
            owner.unlink()
            stack_lab.down(claim.name, claim.directory, Progress())
            shutil.rmtree(ROOT / f"clone-{claim.name}", ignore_errors=True)
