"""What lowering appends to a signal."""

from __future__ import annotations

from collections.abc import Callable

from scatc.ir.nodes import Node

Step = tuple[str, Callable[[str], Node]]
"""What a node's name begins with, and the node, given the name of what it works on."""


def chain(nodes: dict[str, Node], x: str, tag: str, steps: list[Step]) -> str:
    """Append nodes one behind the other, their names ending alike; returns the name of the last."""
    for prefix, node in steps:
        name = f"{prefix}{tag}"
        nodes[name] = node(x)
        x = name
    return x
