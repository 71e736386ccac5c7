"""The program that the Pulumi engine runs: settings in, one cluster out."""

import pulumi

from stacks.cluster import Cluster
from stacks.config import from_engine

settings, identity = from_engine()
for name, value in Cluster(settings, identity).outputs().items():
    pulumi.export(name, value)
