"""From Ready nodes to all that git drives Synced and Healthy, against `kubectl apply` of the same manifests by hand."""

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import by_hand, report
from bench.measure import BenchError, Usage, interleaved
from bench.measure import run as measured
from bench.pave import check_ready, fresh_hosts, hosts_cpu
from bench.world import World
from components.seed import manifests
from lab.git import service, tree
from seedbed.applications import applications
from seedbed.kube import Api
from stacks.config import from_file
from stacks.seed_settings import PATH

TARGET = 1.3
ENVIRONMENT = "dev"
ROUNDS = 3
TIMEOUT_SECONDS = 1200
HEALTHY_SECONDS = 300
SCRIPT = Path(__file__).parent / "seed_by_hand.sh"

_UP = ("up", "--yes", "--skip-preview", "--suppress-outputs")
_HAVE_A_HEALTH = "deployments,statefulsets,horizontalpodautoscalers,apiservices,sealedsecrets"


def run(world: World) -> Path:
    """Measure, and write results/seed.md. It leaves the world's cluster as the last round made it."""
    before = report.load()
    made: list[frozenset[str]] = []
    found = interleaved(ROUNDS, seedbed=lambda: _by_pulumi(world, made), by_hand=lambda: _by_hand(world, made))
    if len(set(made)) != 1:
        raise BenchError(
            f"not the same runs after each: {sorted(frozenset.union(*made) - frozenset.intersection(*made))}"
        )
    return report.write(
        "seed", "From Ready nodes to a cluster that git drives", before, _body(world, found, len(made[0]))
    )


def _by_pulumi(world: World, made: list[frozenset[str]]) -> Usage:
    _pave(world)
    before = hosts_cpu(world)
    with world.progress.phase("pulumi up with the seed"):
        usage = world.pulumi(*_UP, timeout=TIMEOUT_SECONDS)
        more = _until_healthy(world)
    usage = replace(usage, seconds=usage.seconds + more, cpu_seconds=usage.cpu_seconds + hosts_cpu(world) - before)
    made.append(_running(world))
    return usage


def _by_hand(world: World, made: list[frozenset[str]]) -> Usage:
    _pave(world)
    folder = _rendered(world)
    kubeconfig = world.stack.root / ".bench" / "kubeconfig"
    _write_private(kubeconfig, world.stack.seedbed("kubeconfig", world.stack.name).stdout)
    before = hosts_cpu(world)
    with world.progress.phase("the same by hand"):
        environment = world.environment | {"KUBECONFIG": str(kubeconfig)}
        usage = measured([str(SCRIPT), str(folder)], folder, environment, TIMEOUT_SECONDS)
    usage = replace(usage, cpu_seconds=usage.cpu_seconds + hosts_cpu(world) - before)
    made.append(_running(world))
    return usage


def _pave(world: World) -> None:
    """Fresh hosts, and the cluster on them with nothing planted; then the settings ask for the seed again."""
    seed: dict[str, Any] = {}
    world.destroy()
    fresh_hosts(world)
    world.stack.change(lambda config: seed.update({PATH: config.pop(PATH)}))
    try:
        with world.progress.phase("pulumi up without the seed"):
            world.pulumi(*_UP, timeout=TIMEOUT_SECONDS)
    finally:
        world.stack.change(lambda config: config.update(seed))
    check_ready(world)


def _until_healthy(world: World) -> float:
    """Seconds until all Applications are Synced and Healthy; none where they are at the first look, which `up` waits for."""
    api = Api.of(world.stack.identity, str(from_file(world.stack.name, world.stack.root).api_url))
    began = time.monotonic()
    looks = 0
    while not all(application.synced and application.healthy for application in applications(api)):
        if time.monotonic() - began > HEALTHY_SECONDS:
            raise BenchError(f"not all Applications are Synced and Healthy {HEALTHY_SECONDS} s after `pulumi up`")
        looks += 1
        time.sleep(0.5)
    return time.monotonic() - began if looks else 0.0


def _rendered(world: World) -> Path:
    """A folder with what the cluster gets from git, rendered: first what Pulumi would make, namespaces and sealing keys."""
    stack = world.stack
    folder = stack.root / ".bench" / "by-hand"
    if folder.is_dir():
        return folder
    repository = stack.lab_folder / service.ROOT / tree.REPOSITORY
    server = from_file(stack.name, stack.root).cluster.init
    packed = subprocess.run(
        ["git", "archive", "--format=tar.gz", tree.BRANCH, tree.TREE],
        cwd=repository, capture_output=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    stack.lab.ssh(server, "base64 -d | tar xz -C /root", stdin=base64.b64encode(packed).decode())
    # On a host: the manifests that the tree names by their addresses are there, under the lab's certificates.
    texts = {
        source.replace("/", "-"): stack.lab.ssh(server, f"k3s kubectl kustomize /root/{tree.TREE}/{source}").stdout
        for source in sources(stack.lab_folder / tree.WORK_TREE / tree.TREE)
    }
    folder.mkdir(parents=True)
    _write_private(folder / "00-before.json", json.dumps(_before(world)))
    for number, (name, text) in enumerate(texts.items(), 1):
        (folder / f"{number:02}-{name}.yaml").write_text(text)
    return folder


def sources(k8s: Path) -> Iterator[str]:
    """The folders that the Applications of the dev stack deploy."""
    patterns = ("base/sealed-secrets", "base/argocd", "observability/*", f"apps/*/overlays/{ENVIRONMENT}")
    for pattern in patterns:
        yield from (path.relative_to(k8s).as_posix() for path in sorted(k8s.glob(pattern)))


def _before(world: World) -> dict[str, Any]:
    objects = [
        {"kind": "Namespace", **manifests.namespace(ENVIRONMENT, "restricted")},
        *(
            {"kind": "Secret", **manifests.sealing_key(pair.crt, pair.key)}
            for pair in world.stack.identity.sealing_keys
        ),
    ]
    return {"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", **item} for item in objects]}


def _running(world: World) -> frozenset[str]:
    """What there is on the cluster of the kinds that have a health."""
    line = '{.kind} {.metadata.namespace}/{.metadata.name}{"\\n"}'
    found = world.stack.kubectl(
        "get", _HAVE_A_HEALTH, "--all-namespaces", "--output", f"jsonpath={{range .items[*]}}{line}{{end}}"
    )
    return frozenset(found.splitlines())


def _write_private(file: Path, text: str) -> None:
    file.touch(0o600)
    file.write_text(text)


def _body(world: World, found: dict[str, list[Usage]], objects: int) -> str:
    return (
        f"Aim: at most {TARGET} times the script.\n\n"
        + by_hand.rounds(found)
        + "\nEach run has fresh hosts of one lab, with the same names and addresses, and on them a cluster of a server and "
        "an agent that `pulumi up` has paved without the section `seed`, so all images are pulled anew; the order of the two turns round "
        "from round to round. Time runs from there, where both nodes are Ready. `pulumi up --skip-preview` with the section "
        "`seed`: the engine's own start, what Pulumi makes, planting (downloads and rendering included), and until ArgoCD calls root and all its "
        "children Synced and Healthy. bench/seed_by_hand.sh, on this machine: one `kubectl apply --server-side` of the same "
        "manifests out of the same repository, rendered before the time runs (both bases, metrics-server, the overlays of "
        "both applications with the same SealedSecret, and before them the namespaces and the sealing keys), again where a "
        "definition was not established yet, and `kubectl wait` for what ArgoCD calls healthy: every Deployment and the StatefulSet rolled out, "
        "SealedSecrets opened, autoscalers with the metrics that they need, API services available. By hand nothing follows git: neither AppProjects, Applications nor "
        f"the repository's credential are made. Afterwards the same {objects} objects with a health are there. CPU is what the command and everything "
        "on the two hosts (by their cgroups) used.\n\n"
        "Medians of the parts, in whole seconds. By hand the seconds count from the start of the script, by `pulumi up` "
        "from the start of each step:\n\n" + by_hand.parts(found) + f"\n{world.about()}\n"
    )
