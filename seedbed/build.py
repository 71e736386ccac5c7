"""What has to be downloaded or built before a lab can be: four things that need nothing of each other."""

from typing import Any

from lab import artifacts, image
from seedbed import graph
from seedbed.graph import Job
from tools import toolchain
from tools.progress import Progress

CLI = "cli"
S3_SERVER = "versitygw"
IMAGE = "image"
ARTIFACTS = "artifacts"


def jobs(progress: Progress) -> list[Job]:
    """Each gives what its `ensure` gives: Toolchain, Path, Path, Artifacts. What is in the cache takes milliseconds."""
    return [
        Job(CLI, lambda _: toolchain.ensure(progress)),
        Job(S3_SERVER, lambda _: toolchain.versitygw(progress)),
        Job(IMAGE, lambda _: image.ensure(progress)),
        Job(ARTIFACTS, lambda _: artifacts.ensure(progress)),
    ]


def everything(progress: Progress) -> dict[str, Any]:
    """All four."""
    return graph.run(jobs(progress))
