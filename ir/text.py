"""The printed form of a graph, and its parser.

    graph {"J":3,"Q":[1,1],...}                    the spec, canonical JSON
    U0 = pad x widths=((32,32),) mode=reflect      # real 128 samples @0

One node a line: `name = kind inputs attribute=value ...`; attributes at their default are left out, tuples are written
without spaces, what follows `#` is the inferred value and is for readers (the parser passes over it; `verify` checks).
"""

from __future__ import annotations

import json
import re
from ast import literal_eval
from dataclasses import fields
from functools import lru_cache

from scatc.ir.errors import CompileError
from scatc.ir.graph import Graph
from scatc.ir.nodes import Input, Node
from scatc.ir.spec import Spec
from scatc.ir.transposed import KINDS
from scatc.ir.values import infer

_TYPES = {kind: {f.name: str(f.type) for f in fields(c)[len(c.inputs) :]} for kind, c in KINDS.items()}
"""Of each kind: the types of its attributes."""

_NAME = re.compile("[A-Za-z][A-Za-z0-9_]*", re.ASCII)


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
    attributes = [f"{key}={_print(value)}" for key, value in node.attributes().items()]
    return " ".join([name, "=", node.kind, *node.operands, *attributes])


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
        except ValueError as error:
            raise CompileError(f"line {number}: cannot read {line.strip()!r} as a node ({error})") from error
        if name in nodes:
            raise CompileError(f"line {number}: {name} is defined twice")
        nodes[name] = node
    return Graph(Spec.from_json(lines[0].removeprefix("graph ")), nodes)


def _parse_node(words: list[str]) -> tuple[str, Node]:
    if len(words) < 3 or words[1] != "=":
        raise ValueError("expected 'name = kind ...'")
    name, _, kind, *rest = words
    if bad := [word for word in (name, *rest) if "=" not in word and not _NAME.fullmatch(word)]:
        raise ValueError(f"{_short(bad[0])} is no name")  # names become code
    if kind not in KINDS:
        raise ValueError(f"there is no kind {kind!r}")
    inputs = [word for word in rest if "=" not in word]
    names = () if KINDS[kind] is Input else KINDS[kind].inputs
    variadic = KINDS[kind].variadic
    if len(inputs) < len(names) - 1 if variadic else len(inputs) != len(names):
        raise ValueError(f"it has {len(names)} input(s){' or more' if variadic else ''}, not {len(inputs)}")
    operands: list[object] = [*inputs[: len(names) - 1], tuple(inputs[len(names) - 1 :])] if variadic else [*inputs]
    types = _TYPES[kind]
    attributes: dict[str, object] = {}
    for key, _, value in (word.partition("=") for word in rest if "=" in word):
        if key not in types:
            raise ValueError(f"{kind} has no attribute {key!r}")
        if key in attributes:
            raise ValueError(f"{key} is given twice")
        if types[key] == "str" and not _NAME.fullmatch(value):
            raise ValueError(f"{key}={_short(value)} is no name")
        try:
            attributes[key] = value if types[key] == "str" else _parse_value(value, types[key])
        except ValueError as error:
            raise ValueError(f"{key}={_short(value)} is {error}") from None
    return name, KINDS[kind](*operands, **attributes)  # type: ignore[arg-type]


@lru_cache(maxsize=1024)  # siblings have much in common
def _parse_value(text: str, type_name: str) -> object:
    """The value of a number, a flag or a tuple (the types that a node's attributes have besides text)."""
    try:
        value = _plain(text)
        if value is None:
            value = literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise ValueError("no value") from None
    expected = {"int": int, "bool": bool}.get(type_name, tuple)
    leaf = next((kind for name, kind in (("float", float), ("str", str), ("bool", bool)) if name in type_name), int)
    if type(value) is not expected or not _holds(value, leaf):
        raise ValueError(f"not of type {expected.__name__}")
    return value


def _plain(text: str) -> object:
    """Numbers, and tuples of them, as they are printed; None for any other text.

    What JSON makes of it counts only if it prints as that same text: a quicker way, never another value.
    """
    try:
        value = _tuples(json.loads(text.replace("(", "[").replace(",)", "]").replace(")", "]")))
    except (ValueError, RecursionError):
        return None
    return value if _print(value) == text else None


def _tuples(value: object) -> object:
    if not isinstance(value, list):
        return value
    return tuple(map(_tuples, value)) if list in set(map(type, value)) else tuple(value)


def _holds(value: object, leaf: type) -> bool:
    """Whether a value is, or is tuples of, values of one type; text must be names, for it may end in emitted code."""
    if not isinstance(value, tuple):
        return type(value) is leaf and (leaf is not str or _NAME.fullmatch(str(value)) is not None)
    if leaf is not str and set(map(type, value)) <= {leaf}:
        return True
    return all(_holds(entry, leaf) for entry in value)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
