"""The pinned toolchain: what the project runs, and how it is downloaded or built.

Imports nothing else of this repository, and nothing outside the standard library: `tools.bootstrap.sh` and
`make` may use it before anything is installed.
"""


class ToolError(Exception):
    """A tool cannot be had or does not work; the message names the place and the remedy."""
