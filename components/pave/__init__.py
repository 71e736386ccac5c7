"""Paving: one machine becomes one cluster member, once."""

from components.pave.node import Node, NodeArgs

__all__ = ["Node", "NodeArgs"]
