"""The printed form of a graph, and its parser.

    graph {"J":3,"Q":[1,1],...}                    the spec, canonical JSON
    U0 = pad x widths=((32,32),) mode=reflect      # real 128 samples @0

One node a line: `name = kind input attribute=value ...`; attributes at their default are left out, tuples are written
without spaces, what follows `#` is the inferred value and is for readers (the parser checks nothing there: `verify` does).
"""

from __future__ import annotations

from ast import literal_eval
from dataclasses import fields

from scatc.ir.errors import CompileError
from scatc.ir.graph import Graph
from scatc.ir.nodes import KINDS, Node
from scatc.ir.spec import Spec
from scatc.ir.values import infer


def print_graph(graph: Graph, *, comments: bool = True) -> str:
    """The text of a graph; `comments` adds each value's inferred type."""
    lines = {name: print_node(name, node) for name, node in graph}
    if comments:
        column = min(max((len(line) for line in lines.values()), default=0), 88)
        values = infer(graph)
        lines = {name: f"{line:<{column}}  # {values[name]}" for name, line in lines.items()}
    return "\n".join([f"graph {graph.spec.to_json()}", *lines.values()]) + "\n"


def print_node(name: str, node: Node) -> str:
    """The line of one node, without its type."""
    words = [name, "=", node.kind, *([node.x] if node.x else [])]
    return " ".join(words + [f"{key}={_print(value)}" for key, value in node.attributes().items()])


def _print(value: object) -> str:
    return value if isinstance(value, str) else repr(value).replace(" ", "")


def parse_graph(text: str) -> Graph:
    """The graph that a text describes.

    Raises
    ------
    CompileError
        If a line is not of the printed form; the message has the line number and the line.
    """
    lines = text.splitlines()
    if not lines or not lines[0].startswith("graph "):
        raise CompileError("line 1: a graph's text begins with 'graph ' and the spec's JSON")
    nodes: dict[str, Node] = {}
    for number, line in enumerate(lines[1:], 2):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        try:
            name, node = _parse_node(words)
        except (ValueError, KeyError, TypeError, SyntaxError, IndexError) as error:
            raise CompileError(f"line {number}: cannot read {line.strip()!r} as a node ({error})") from error
        if name in nodes:
            raise CompileError(f"line {number}: {name} is defined twice")
        nodes[name] = node
    return Graph(Spec.from_json(lines[0].removeprefix("graph ")), nodes)


def _parse_node(words: list[str]) -> tuple[str, Node]:
    name, equals, kind, *rest = words
    if equals != "=":
        raise ValueError("expected 'name = kind ...'")
    node_type = KINDS[kind]
    inputs = [word for word in rest if "=" not in word]
    if len(inputs) > 1:
        raise ValueError("a node has one input")
    attributes = dict(word.split("=", 1) for word in rest if "=" in word)
    types = {f.name: f.type for f in fields(node_type)}
    parsed = {k: v if types[k] == "str" else literal_eval(v) for k, v in attributes.items()}
    return name, node_type(*inputs, **parsed)
