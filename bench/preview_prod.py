"""A preview of the prod stack that finds nothing to do, against the same of a trivial program with as many resources."""

from pathlib import Path

from bench import paper, report
from bench.measure import Usage, interleaved
from bench.preview import PREVIEW, ROUNDS, TARGET, resources, table
from bench.rehearsal import Rehearsal
from lab.cloud.limits import Limits
from tests.lab.rehearsed import AGENTS, SERVERS

TRIVIAL = "trivial-prod"


def run(rehearsal: Rehearsal) -> Path:
    """Measure, and write results/preview-prod.md."""
    world = rehearsal.world
    before = report.load()
    ours = (*PREVIEW, "--config-file", world.environment["SEEDBED_CONFIG_FILE"])
    folder = world.stack.root / ".bench"
    folder.mkdir()
    with paper.cloud(folder / "cloud", Limits()) as cloud:
        cloud.ask("POST", "/v2/domains", {"name": paper.ZONE})
        project = _trivial(rehearsal, cloud)

        def trivial() -> Usage:
            return world.pulumi(*PREVIEW, folder=project, variables=cloud.variables)

        counts, theirs = resources(world), resources(world, project)
        if counts != theirs:
            raise AssertionError(f"the stack has {counts}, the trivial program {theirs}")
        world.pulumi(*ours)
        trivial()
        with world.progress.phase("no-op previews"):
            found = interleaved(ROUNDS, seedbed=lambda: world.pulumi(*ours), trivial=trivial)
    count = ", ".join(f"{number} × {kind}" for kind, number in sorted(counts.items()))
    body = (
        f"Aim: at most {TARGET} times the trivial program's wall clock.\n\n"
        + table("prod stack", found)
        + f"\n{ROUNDS} rounds of `pulumi {' '.join(PREVIEW)}`, the two in turns after one of each that is not counted, on "
        f"the same engine, plugins and backend. Both states hold {sum(counts.values())} resources: {count}. The prod "
        "stack's was made by a `seedbed rehearse`, whose machines run meanwhile; the trivial program's by a `pulumi up` "
        "whose commands ran on the same machines and whose objects are in the same cluster, while its cloud has machines "
        "on paper only. CPU is user and system time of the CLI and all that it waited for. The best is what a busy machine "
        f"disturbed least. The trivial program is bench/trivial_prod.py.\n\n{world.about()}\n"
    )
    return report.write("preview-prod", "A preview of the prod stack that finds nothing to do", before, body)


def _trivial(rehearsal: Rehearsal, cloud: paper.Cloud) -> Path:
    """The trivial program's project, with its state made by the rehearsal's machines and a cloud of its own."""
    world, stack = rehearsal.world, rehearsal.stack
    nodes = stack.outputs()["nodes"]
    hosts = [
        {"name": name, "address": nodes[name]["publicAddress"], "hostKey": stack.identity.host_key(name).public}
        for name in (*SERVERS, *AGENTS)
    ]
    program = (Path(__file__).parent / "trivial_prod.py").read_text()
    config = {f"{TRIVIAL}:hosts": hosts, f"{TRIVIAL}:publicKey": stack.identity.operator_public_key}
    folder = world.project(TRIVIAL, program, config)
    kubeconfig = stack.in_shell(world.environment, "seedbed", "kubeconfig", stack.name)
    for name, value in {"privateKey": stack.identity.operator_key, "kubeconfig": kubeconfig}.items():
        world.pulumi("config", "set", "--secret", name, folder=folder, stdin=value)
    world.pulumi("up", "--yes", "--skip-preview", folder=folder, variables=cloud.variables)
    return folder
