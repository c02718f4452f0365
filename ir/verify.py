"""Checks that a graph is well formed; runs after each pass in tests and in debug mode."""

from __future__ import annotations

from scatc.ir.errors import CompileError
from scatc.ir.filters import banks
from scatc.ir.graph import Graph
from scatc.ir.nodes import (
    PROGRAM_KINDS,
    SCATTERING_KINDS,
    Average,
    Fft,
    Filter,
    Fold,
    Ifft,
    Input,
    Lowpass,
    Mix,
    Modulus,
    Node,
    Output,
    Pad,
    Ripple,
    Stack,
    Subsample,
    Unpad,
)
from scatc.ir.transposed import (
    TRANSPOSED_KINDS,
    AverageT,
    Blank,
    Cotangent,
    FftT,
    FoldT,
    Gradient,
    IfftT,
    LowpassT,
    ModulusT,
    PadT,
    Sum,
    UnpadT,
)
from scatc.ir.values import Value, infer_node, keep_values

_KINDS = {
    "scattering": frozenset(SCATTERING_KINDS),
    "program": frozenset(PROGRAM_KINDS),
    "gradient": frozenset((*PROGRAM_KINDS, *TRANSPOSED_KINDS)),
}
_TRANSPOSED = frozenset(TRANSPOSED_KINDS)
_OF_SPECTRA = (Fold, Ifft)
_OF_REAL_VALUES = (Filter, Average, Gradient)
_OF_ROWS = (Stack, Mix, Ripple)
_AVERAGES_OF_ROWS = ("", "sum", "phi_fr")
_AT_A_LEVEL = (Filter, Fold, Lowpass, Average)
_SUBSAMPLING = (Subsample, Fold, Lowpass)
_KEEPING = (Unpad, Lowpass)
_WITH_BY = (*_SUBSAMPLING, FoldT, LowpassT)
_WITH_FILTERS = (Filter, Fold, FoldT)
_PADDINGS = ("reflect", "zero", "periodic")
_WITH_MODE = (Pad, Average, PadT, AverageT)
_MODES = {
    Pad: _PADDINGS,
    PadT: _PADDINGS,
    Average: ("local", "global", "integral"),
    AverageT: ("global", "integral"),
}
_LOWPASSES = (Lowpass, LowpassT)
_METHODS = ("dense", "banded")
_PER_AXIS = {
    Pad: ("widths",),
    PadT: ("widths",),
    Unpad: ("kept",),
    UnpadT: ("kept",),
    Fft: ("box",),
    FftT: ("box",),
    Blank: ("box",),
    Lowpass: ("kept", "methods", "taps"),
    LowpassT: ("kept", "methods", "taps"),
}
_MAY_BE_EMPTY = ("box", "taps")


def verify(graph: Graph, level: str = "any") -> None:
    """Check a graph.

    Parameters
    ----------
    graph : Graph
    level : {'any', 'scattering', 'program', 'gradient'}
        Also check that only the kinds of that level occur.

    Raises
    ------
    CompileError
        With the node's line and what is wrong with it.
    """
    if sum(isinstance(node, Input) for _, node in graph) > 1:
        raise CompileError("a graph has one input")
    values: dict[str, Value] = {}
    for name, node in graph:
        if level != "any" and type(node) not in _KINDS[level]:
            _fail(name, node, f"a {level} graph has no node of kind {node.kind}")
        for operand in node.operands:
            if operand not in values:
                _fail(name, node, f"{operand!r} is not defined above")
        if not isinstance(node, Input) and not node.variadic and len(node.operands) != len(node.inputs):
            _fail(name, node, "an input is missing")
        operands = [values[operand] for operand in node.operands]
        for problem in _problems(graph, node, values.get(node.x)):
            _fail(name, node, problem)
        values[name] = infer_node(graph.spec, node, *operands)
        for problem in (*_row_problems(graph, node, *operands), *_transposed_problems(graph, node, *operands)):
            _fail(name, node, problem)
    keep_values(graph, values)
    paths = [path for _, output in graph.outputs for path in output.paths]
    if len(paths) != len(set(paths)):
        raise CompileError("a path is output twice")


def _fail(name: str, node: Node, problem: str) -> None:
    from scatc.ir.text import print_node

    raise CompileError(f"{print_node(name, node)}: {problem}")


def _problems(graph: Graph, node: Node, x: Value | None) -> list[str]:
    """What is wrong with a node, each as a sentence."""
    if x is None:
        return []
    if wrong := _form_problems(graph, node):
        return wrong
    found = []
    if type(node) not in _TRANSPOSED and isinstance(node, _OF_SPECTRA) != x.spectrum:
        found.append("it needs a spectrum" if not x.spectrum else "it needs samples, not a spectrum")
    if isinstance(node, _OF_REAL_VALUES) and not x.real:
        found.append("its input must be real")
    if isinstance(node, Fft) and node.real and not x.real:
        found.append("real=True needs a real input")
    if isinstance(node, _AT_A_LEVEL) and node.level not in (x.level, *_free_levels(node)):
        found.append(f"it is meant for level {node.level}, and its input is at level {x.level}")
    if isinstance(node, _SUBSAMPLING) and any(n % (1 << node.by) for n in x.grid):
        found.append(f"2**{node.by} does not divide the grid {x.grid}")
    if isinstance(node, _KEEPING):
        by = node.by if isinstance(node, Lowpass) else 0
        there = tuple(n >> by for n in x.shape)
        if any(not 0 <= a <= b <= n for (a, b), n in zip(node.kept, there, strict=True)):
            found.append(f"it keeps samples outside of the {there} there are")
    if isinstance(node, Modulus) and node.weights and len(node.weights) != x.components:
        found.append(f"it has {len(node.weights)} weights for {x.components} components")
    if isinstance(node, Ifft):
        needed = (*x.grid[:-1], x.grid[-1] // 2 + 1) if node.real else x.grid
        if x.shape != needed:
            found.append(f"it needs {needed} bins, and there are {x.shape}")
    if isinstance(node, Output) and len(node.paths) != x.paths:
        found.append(f"it names {len(node.paths)} paths of {x.paths}")
    if isinstance(node, Fold):
        found += _fold_problems(graph, node, x)
    return found


def _free_levels(node: Node) -> tuple[int, ...]:
    """Levels that a node may state whatever its input's: sums over samples need no filter, so state 0."""
    return (0,) if isinstance(node, Average) and node.mode != "local" else ()


def _form_problems(graph: Graph, node: Node) -> list[str]:
    """What is wrong with a node whatever its input."""
    found = []
    for name in _PER_AXIS.get(type(node), ()):
        entries = getattr(node, name)
        if len(entries) != graph.spec.dim and (entries or name not in _MAY_BE_EMPTY):
            found.append(f"its {name} must have {graph.spec.dim} entries, one for each axis")
    if isinstance(node, _WITH_MODE) and node.mode not in _MODES[type(node)]:
        found.append(f"its mode must be one of {', '.join(_MODES[type(node)])}")
    if isinstance(node, _LOWPASSES) and not set(node.methods) <= set(_METHODS):
        found.append(f"its methods must be of {', '.join(_METHODS)}")
    if isinstance(node, _WITH_BY) and node.by < 0:
        found.append("its by must not be negative")
    if isinstance(node, _WITH_FILTERS):
        indices = (node.index,) if isinstance(node, Filter) else node.indices
        bank = banks(graph.spec).get(node.bank)
        if bank is None or any(not 0 <= i < len(bank) for i in indices):
            found.append(f"there is no filter {indices} in bank {node.bank!r}")
        if not indices:
            found.append("it names no filter")
    return found


def _row_problems(graph: Graph, node: Node, *operands: Value) -> list[str]:
    """What is wrong with a node that works on rows."""
    if not isinstance(node, _OF_ROWS):
        return []
    x = operands[0]
    if any(value.spectrum or value.components > 1 for value in operands):
        return ["it needs samples of one component"]
    if isinstance(node, Stack):
        if any((value.shape, value.real, value.level) != (x.shape, x.real, x.level) for value in operands):
            return [f"its inputs differ: {', '.join(map(str, operands))}"]
        rows = sum(value.paths for value in operands)
        return [f"it names row {row} of {rows}" for row in node.rows if not 0 <= row < rows][:1]
    if isinstance(node, Mix):
        return _mix_problems(graph, node, x.paths)
    if node.mode not in _AVERAGES_OF_ROWS:
        return [f"its mode must be one of {', '.join(map(repr, _AVERAGES_OF_ROWS))}"]
    if node.mode != "phi_fr" and node.kept != (1 if node.mode else node.whole):
        return [f"it keeps {node.kept} of {node.whole} rows without phi_fr"]
    found = [_mix_problems(graph, mix, rows) for mix, rows in zip(node.mixes, (x.paths, node.whole), strict=False)]
    return [problem for problems in found for problem in problems]


def _mix_problems(graph: Graph, node: Mix, rows: int) -> list[str]:
    """What is wrong with a mix of so many rows."""
    if not node.bank:
        return [] if node.kept == 1 else [f"it keeps {node.kept} rows of a sum"]
    bank = banks(graph.spec).get(node.bank)
    if bank is None or not node.bank.endswith("_fr") or not 0 <= node.index < len(bank):
        return [f"there is no filter {node.index} in bank {node.bank!r} along log-frequency"]
    whole = bank.shape[0]
    if min(node.level, node.by) < 0 or whole % (1 << (node.level + node.by)):
        return [f"2**{node.level + node.by} does not divide the axis of {whole}"]
    if not 1 <= node.kept <= whole >> (node.level + node.by) or rows > whole >> node.level:
        return [f"it reads {rows} and keeps {node.kept} rows of an axis of {whole >> node.level}"]
    return []


def _transposed_problems(graph: Graph, node: Node, *operands: Value) -> list[str]:
    """What is wrong with how the operands of a transposed kind go together."""
    if type(node) not in _TRANSPOSED or not operands:
        return []
    x, last = operands[0], operands[-1]
    if isinstance(node, FftT | FoldT | IfftT) and x.spectrum == isinstance(node, IfftT):
        return ["it needs samples, not a spectrum" if x.spectrum else "it needs a spectrum"]
    if isinstance(node, Cotangent) and len(node.paths) != x.paths:
        return [f"it names {len(node.paths)} paths for the {x.paths} rows of its input"]
    if isinstance(node, Sum) and (x.shape, x.paths, x.real) != (last.shape, last.paths, last.real):
        return [f"its inputs differ: {x} and {last}"]
    if isinstance(node, ModulusT | AverageT) and x.paths != last.paths:
        return [f"its inputs differ in their paths: {x} and {last}"]
    if isinstance(node, FoldT) and last.paths * len(node.indices) != x.paths:
        return [f"its {len(node.indices)} filters do not lead from {x} to {last}"]
    if isinstance(node, FoldT) and len(graph.users[node.into]) > 1:
        return [f"it takes the place of {node.into}, which others read"]
    return []


def _fold_problems(graph: Graph, node: Fold, x: Value) -> list[str]:
    found = []
    counts = {banks(graph.spec)[node.bank].components(i) for i in node.indices}
    if len(counts) > 1 or not set(node.components) <= set(range(min(counts))):
        found.append(f"its filters have {', '.join(map(str, sorted(counts)))} components")
    if node.widths and len(node.starts) != len(node.indices):
        found.append("it needs one start for each filter")
    if any(len(entries) != graph.spec.dim for entries in (*node.starts, *([node.widths] if node.widths else []))):
        return [*found, f"its starts and widths must have {graph.spec.dim} entries, one for each axis"]
    if any(not 1 <= w for w in node.widths):
        found.append("its windows hold no bins")
    for start in node.starts if x.band else ():
        for (a, b), s, w in zip(x.band, start, node.widths, strict=True):
            if not a <= s <= s + w <= b:
                found.append(f"it reads bins {s}:{s + w} of a spectrum that holds {a}:{b}")
    return found
