"""What is done on machines over SSH: scripts rendered by pure functions, each run as one remote command."""

from components.remote.command import Timeouts, copy_scripts, run
from components.remote.script import Step

__all__ = ["Step", "Timeouts", "copy_scripts", "run"]
