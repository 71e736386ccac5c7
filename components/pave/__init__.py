"""Paving: one machine becomes one cluster member, once."""

from components.pave.node import Node, NodeArgs, Timeouts

__all__ = ["Node", "NodeArgs", "Timeouts"]
