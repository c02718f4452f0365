"""`Graph`: named nodes, inputs before users."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from scatc.ir.nodes import Node, Output
from scatc.ir.spec import Spec
from scatc.ir.transposed import Gradient, Store

if TYPE_CHECKING:
    import networkx


RESULTS = (Output, Gradient, Store)
"""The kinds that nothing reads: what a program is run for."""


@dataclass(frozen=True)
class Graph:
    """An immutable graph of one transform, at either level.

    Attributes
    ----------
    spec : Spec
        What it computes.
    nodes : Mapping of str to Node
        Nodes by name; every node's input stands before it, so the order is an order of evaluation.
    """

    spec: Spec
    nodes: Mapping[str, Node] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", MappingProxyType(dict(self.nodes)))

    def __iter__(self) -> Iterator[tuple[str, Node]]:
        return iter(self.nodes.items())

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def __len__(self) -> int:
        return len(self.nodes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Graph):
            return NotImplemented
        return self.spec == other.spec and list(self) == list(other)

    def __hash__(self) -> int:
        return hash((self.spec, tuple(self)))

    def __reduce__(self) -> tuple[Any, ...]:
        return Graph, (self.spec, dict(self.nodes))

    def __str__(self) -> str:
        from scatc.ir.text import print_graph

        return print_graph(self)

    @cached_property
    def derived(self) -> dict[Hashable, Any]:
        """What others have worked out of this graph and keep with it: a graph never changes (see `values.infer`)."""
        return {}

    @cached_property
    def users(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the nodes that read each value."""
        found: dict[str, list[str]] = {name: [] for name in self.nodes}
        for name, node in self.nodes.items():
            for operand in node.operands:
                found[operand].append(name)
        return {name: tuple(readers) for name, readers in found.items()}

    @property
    def outputs(self) -> list[tuple[str, Output]]:
        """The output nodes, in order."""
        return [(name, node) for name, node in self if isinstance(node, Output)]

    def without_dead(self) -> Graph:
        """The graph of the nodes that some result needs."""
        live: set[str] = set()
        for name in reversed(list(self.nodes)):
            node = self.nodes[name]
            if isinstance(node, RESULTS) or name in live:
                live.update((name, *node.operands))
        return replace(self, nodes={name: node for name, node in self if name in live})

    def rewrite(self, rule: Callable[[str, Node], Node | Iterable[tuple[str, Node]] | None]) -> Graph:
        """Apply a rule to each node: None keeps it, a node replaces it, named nodes stand in for it."""
        nodes: dict[str, Node] = {}
        for name, node in self:
            new = rule(name, node)
            if new is None:
                nodes[name] = node
            elif isinstance(new, Node):
                nodes[name] = new
            else:
                nodes.update(new)
        return replace(self, nodes=nodes)

    def digraph(self) -> networkx.DiGraph:
        """The same graph for networkx: nodes carry their `Node` as attribute `node`."""
        import networkx

        g = networkx.DiGraph()
        for name, node in self:
            g.add_node(name, node=node)
            g.add_edges_from((operand, name) for operand in node.operands)
        return g
