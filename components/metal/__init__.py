"""Machines: where they come from and how to log in to them. What is done to them is `components.pave`'s business."""
