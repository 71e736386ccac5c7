"""Machines: where they come from and how to log in to them. What is done to them is `components.pave`'s business."""

from components.metal.existing import ExistingHost, ExistingHostArgs

__all__ = ["ExistingHost", "ExistingHostArgs"]
