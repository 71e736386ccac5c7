"""The program that the Pulumi engine runs: settings in, one cluster out."""

import pulumi

from stacks.cluster import Cluster
from stacks.config import from_engine
from stacks.state_size import without_stack_traces

settings, identity = from_engine()
with without_stack_traces():
    outputs = Cluster(settings, identity).outputs()
for name, value in outputs.items():
    pulumi.export(name, value)
