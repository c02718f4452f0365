"""The picture of a graph: Graphviz text, or a picture by networkx and matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scatc.ir.errors import TargetError
from scatc.ir.graph import Graph
from scatc.ir.values import infer

TEXT_SUFFIXES = (".dot", ".gv")
PICTURE_SUFFIXES = (".svg", ".png", ".pdf")

COLOURS = {
    "input": "#dddddd",
    "fft": "#a6cee3",
    "fold": "#fdbf6f",
    "ifft": "#a6cee3",
    "modulus": "#fb9a99",
    "lowpass": "#b2df8a",
    "average": "#b2df8a",
    "output": "#dddddd",
}


def draw(graph: Graph, path: Path | None) -> str:
    """Graphviz text of a graph; written to a file, or as a picture, if a path is given.

    Raises
    ------
    ValueError
        If the path's suffix is none of those that can be written.
    TargetError
        If a picture is asked for and matplotlib is not installed.
    """
    text = dot(graph)
    if path is None:
        return text
    if path.suffix in TEXT_SUFFIXES:
        path.write_text(text)
    elif path.suffix in PICTURE_SUFFIXES:
        _picture(graph, path)
    else:
        allowed = ", ".join(TEXT_SUFFIXES + PICTURE_SUFFIXES)
        raise ValueError(f"path={str(path)!r} is not possible: its suffix must be one of {allowed}")
    return text


def dot(graph: Graph) -> str:
    """Graphviz text: a box a node, with its kind and what it yields."""
    values = infer(graph)
    lines = ["digraph scattering {", '  rankdir=LR; node [shape=box, style="rounded,filled", fontname=Helvetica];']
    for name, node in graph:
        colour = COLOURS.get(node.kind, "#ffffff")
        lines.append(f'  "{name}" [label="{name}\\n{node.kind}\\n{values[name]}", fillcolor="{colour}"];')
        if node.x:
            lines.append(f'  "{node.x}" -> "{name}";')
    return "\n".join([*lines, "}"]) + "\n"


def _picture(graph: Graph, path: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TargetError("drawing a picture needs matplotlib: pip install scatc[plot]") from error
    import networkx

    g = graph.digraph()
    for depth, layer in enumerate(networkx.topological_generations(g)):
        for name in layer:
            g.nodes[name]["layer"] = depth
    places: dict[str, Any] = networkx.multipartite_layout(g, subset_key="layer")
    deepest = max(networkx.get_node_attributes(g, "layer").values()) + 1
    widest = max(len(layer) for layer in networkx.topological_generations(g))
    figure = Figure(figsize=(min(2 + 1.6 * deepest, 60), min(2 + 0.5 * widest, 60)), layout="constrained")
    axes = figure.add_subplot()
    colours = [COLOURS.get(graph[name].kind, "#ffffff") for name in g]
    networkx.draw_networkx(g, places, ax=axes, node_color=colours, font_size=6, node_size=500, edge_color="#999999")
    axes.set_axis_off()
    figure.savefig(path)
