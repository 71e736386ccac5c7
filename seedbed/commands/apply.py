"""Do exactly what was reviewed: the plan of a bundle of `seedbed review`, and nothing else.

Refuses, and touches nothing, where the bundle was changed or is of another stack, and where the state, the program, the
versions or the settings are others than when it was reviewed; it says what changed. It never does without the plan.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from seedbed import (
    UserError,
    binding,
    deployment,
    engine,
    environment,
    identities,
    leaks,
    passphrase,
    reviewing,
    stackfile,
)
from seedbed.bundle import Bundle, Packed
from seedbed.commands.env import refuse_another
from seedbed.following import Follower
from seedbed.review import Verdict
from seedbed.stackfile import StackFile
from stacks.files import ROOT
from stacks.identity import Identity
from tools.progress import Progress

NAME = "apply"
HELP = "do exactly what was reviewed: the plan of a bundle, if all is as it was then"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="what `seedbed review` wrote")


def run(arguments: argparse.Namespace) -> int:
    progress = Progress(sys.stdout)
    packed = Packed(arguments.bundle)
    if not stackfile.path_of(packed.stack).exists():
        raise UserError(f"{arguments.bundle}: is a plan of stack {packed.stack}, which this clone has no file of")
    stack = stackfile.load(packed.stack)
    refuse_another(stack)
    variables = environment.of(stack, os.environ)
    identity = identities.read(stack, variables)
    bundle = packed.opened(binding.seal_key(identity))
    progress.line(f"{bundle.manifest.summary} (reviewed {bundle.manifest.created})")
    changed = binding.differences(bundle.manifest.binding, reviewing.now(stack, identity, variables), ROOT)
    if changed:
        raise UserError(
            "not all is as it was when this was reviewed, so nothing was touched:\n"
            + "\n".join(f"  {line}" for line in changed)
            + f"\nReview again: `seedbed review {stack.name}`"
        )
    if bundle.manifest.verdict == Verdict.NOTHING.value:
        progress.line("there is nothing to apply")
        return 0
    with progress.phase(f"stack {stack.name}"):
        _carry_out(bundle, stack, identity, variables, progress)
    progress.line(f"done: what was reviewed at {bundle.manifest.binding.sources.short}")
    return 0


def _carry_out(
    bundle: Bundle, stack: StackFile, identity: Identity, variables: dict[str, str], progress: Progress
) -> None:
    then = bundle.manifest.binding.state

    def look() -> None:
        # From here on nobody else can change it; until here somebody could, since it was looked at above.
        if changed := deployment.difference(then, deployment.read(engine.exported(stack, variables))):
            raise UserError(
                f"somebody changed the stack just now, so nothing was touched: {changed}. Review again: "
                f"`seedbed review {stack.name}`"
            )

    # What the engine says of a plan that does not fit has the values that differ.
    plan_of = json.loads(bundle.plan)
    urns = plan_of["resourcePlans"]
    machines = [deployment.name_of(urn) for urn in urns if deployment.type_of(urn) == deployment.NODE]
    public = passphrase.public_passphrase(ROOT)
    secrets = leaks.patterns(identity, machines, variables, public, deploy_key=stack.deploy_key)
    follower = Follower(plan_of, lambda text: progress.line(f"  {leaks.without(text, secrets)}"))
    with tempfile.TemporaryDirectory(prefix="seedbed-") as folder:
        plan = Path(folder) / "plan.json"
        plan.write_bytes(bundle.plan)
        try:
            engine.up(Path("pulumi"), stack, variables, follower.line, plan, look)
        finally:
            follower.end()
