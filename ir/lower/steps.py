"""What lowering appends to a signal."""

from __future__ import annotations

from collections.abc import Callable

from scatc.ir.nodes import Node

Step = tuple[str, Callable[[str], Node]]
"""What a node's name begins with, and the node, given the name of what it works on."""
