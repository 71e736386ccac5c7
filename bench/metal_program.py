"""The machines of a stack at DigitalOcean, and nothing on them: the program but for the paving and the seed.

bench/paper.py copies this file into a project of its own as its `__main__.py`.
"""

from pathlib import Path

import pulumi

from stacks.config import from_engine
from stacks.digitalocean import DigitalOceanMetal
from stacks.state_size import without_stack_traces

settings, identity = from_engine(Path(__file__).parent)
if settings.digitalocean is None:
    raise pulumi.RunError("a stack without seedbed:digitalocean has its machines already")
with without_stack_traces():
    outputs = DigitalOceanMetal(settings, settings.digitalocean, identity).outputs()
for name, value in outputs.items():
    pulumi.export(name, value)
