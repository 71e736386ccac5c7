"""Machines: where they come from and how to log in to them. What is done to them is `components.pave`'s business."""

from components.metal.existing import ExistingHost, ExistingHostArgs
from components.metal.host import Host

__all__ = ["ExistingHost", "ExistingHostArgs", "Host"]
