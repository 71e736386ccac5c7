"""The machines of a stack at DigitalOcean, and nothing on them: the program but for the paving and the seed.

bench/paper.py copies this file into a project of its own as its `__main__.py`.
"""

from pathlib import Path

import pulumi

from components.retire.gate import Gate
from components.retire.removal import Removal
from stacks.config import from_engine
from stacks.digitalocean import DigitalOceanMetal
from stacks.settings import Role
from stacks.state_size import without_stack_traces

settings, identity = from_engine(Path(__file__).parent)
if settings.digitalocean is None:
    raise pulumi.RunError("a stack without seedbed:digitalocean has its machines already")


def unguarded(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
    """There is no cluster that anything would have to leave, and `pulumi destroy` runs no program whose hooks would ask."""
    args.opts.hooks = None
    return pulumi.ResourceTransformationResult(args.props, args.opts)


pulumi.runtime.register_stack_transformation(unguarded)
gate = Gate(
    retire=settings.retire,
    machines=[settings.full_name(name) for name in settings.machines],
    servers=[settings.full_name(name) for name in settings.names(Role.SERVER)],
    source="the settings",
    remove=Removal(private_key=identity.operator_key, drain_seconds=settings.timeouts.drain),
)
with without_stack_traces():
    outputs = DigitalOceanMetal(settings, settings.digitalocean, identity, gate).outputs()
for name, value in outputs.items():
    pulumi.export(name, value)
