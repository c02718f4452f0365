"""The printed form: what is printed parses back to the same graph, and what is not of that form is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import stages
from strategies import selections, specs

from scatc.ir.errors import CompileError, SpecError
from scatc.ir.graph import Graph
from scatc.ir.lower import lower
from scatc.ir.nodes import Average, Fft, Fold, Input, Lowpass, Modulus, Output, Pad
from scatc.ir.options import Options
from scatc.ir.spec import Spec
from scatc.ir.text import parse_graph, print_graph, print_node
from scatc.ir.transposed import KINDS

SPEC = Spec(dim=1, shape=8, J=1, order=1)
HEAD = f"graph {SPEC.to_json()}\n"


@given(st.data(), st.sampled_from(["float32", "float64"]))
@settings(max_examples=60)
def test_every_stage_parses_back(data: st.DataObject, dtype: str) -> None:
    spec = data.draw(specs())
    select = data.draw(st.one_of(st.none(), selections(spec)))
    for name, graph in stages(spec, Options(dtype=dtype, select=select)):
        for text in (print_graph(graph), print_graph(graph, comments=False), str(graph)):
            parsed = parse_graph(text)
            assert parsed == graph, name
            assert hash(parsed) == hash(graph), name
            assert parsed.spec == spec, name
        assert print_graph(parsed) == print_graph(graph), name


def test_a_line_has_name_kind_input_and_what_is_not_default() -> None:
    assert print_node("x", Input()) == "x = input"
    assert print_node("U0", Pad("x", ((1, 2),), "zero")) == "U0 = pad x widths=((1,2),) mode=zero"
    assert print_node("U0", Pad("x", ((1, 2),), "reflect")) == "U0 = pad x widths=((1,2),)"
    assert print_node("X", Fft("U", ((-3, 4),), True)) == "X = fft U box=((-3,4),) real=True"
    assert print_node("S", Average("U", "integral", 0, (0.5, 1.0))) == "S = average U mode=integral powers=(0.5,1.0)"
    assert print_node("out0", Output("S0", ((),))) == "out0 = output S0 paths=((),)"
    fold = Fold("X", "psi1", (0, 1), 2, 1, ((-3,), (2,)), (5,), shifted=True)
    assert print_node("Y", fold) == (
        "Y = fold X bank=psi1 indices=(0,1) level=2 by=1 starts=((-3,),(2,)) widths=(5,) shifted=True"
    )


def test_text_begins_with_the_spec_and_says_what_values_are() -> None:
    lines = str(lower(SPEC)).splitlines()
    assert lines[0] == HEAD.rstrip()
    assert [line.split("=")[0].strip() for line in lines[1:]] == list(lower(SPEC).nodes)
    column = lines[1].index("#")
    assert {line[column] for line in lines[1:]} == {"#"}  # aligned
    assert lines[1].endswith("# real 8 samples @0")
    assert "#" not in print_graph(lower(SPEC), comments=False)
    assert print_graph(Graph(SPEC), comments=True) == HEAD


def test_comments_and_blank_lines_are_ignored() -> None:
    graph = lower(SPEC)
    head, *lines = str(graph).splitlines()
    odd = "\n\n  # nothing here = at all\n".join([head, *(line.split("#")[0] + "  # wrong (" for line in lines)])
    assert parse_graph(odd) == graph
    assert parse_graph(odd.replace("\n", "\r\n")) == graph


def test_kinds_are_named_as_printed() -> None:
    for kind, node in KINDS.items():
        assert kind == node.kind == re.sub("T$", "_T", node.__name__).lower()


def test_attributes_may_come_in_any_order() -> None:
    text = HEAD + "x = input\nX = fft real=True x box=((-3,4),)\n"
    assert parse_graph(text)["X"] == Fft("x", ((-3, 4),), True)


def test_parsing_checks_form_alone() -> None:
    """A graph that verify would refuse is still read: a reader wants to see what is wrong with it."""
    graph = parse_graph(HEAD + "U = modulus nowhere weights=(1,2)\nS = lowpass U methods=('dense',)\n")
    assert graph["U"] == Modulus("nowhere", (1, 2))
    assert graph["S"] == Lowpass("U", methods=("dense",))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("x input", "line 2: cannot read 'x input' as a node (expected 'name = kind ...')"),
        ("x = ", "line 2: cannot read 'x =' as a node (expected 'name = kind ...')"),
        ("x", "line 2: cannot read 'x' as a node (expected 'name = kind ...')"),
        ("x : input", "line 2: cannot read 'x : input' as a node (expected 'name = kind ...')"),
        ("x = input\n\nX = dft x", "line 4: cannot read 'X = dft x' as a node (there is no kind 'dft')"),
        ("X = fft x y", "line 2: cannot read 'X = fft x y' as a node (it has 1 input(s), not 2)"),
        ("X = fft", "line 2: cannot read 'X = fft' as a node (it has 1 input(s), not 0)"),
        ("x = input y", "line 2: cannot read 'x = input y' as a node (it has 0 input(s), not 1)"),
        ("X = fft y x=y", "line 2: cannot read 'X = fft y x=y' as a node (fft has no attribute 'x')"),
        ("X = fft x size=3", "line 2: cannot read 'X = fft x size=3' as a node (fft has no attribute 'size')"),
        ("X = fft x box=((", "line 2: cannot read 'X = fft x box=((' as a node (box='((' is no value)"),
        ("X = fft x real=yes", "line 2: cannot read 'X = fft x real=yes' as a node (real='yes' is no value)"),
        ("X = fft x real=", "line 2: cannot read 'X = fft x real=' as a node (real='' is no value)"),
        ("B = subsample x by=f(1)", "line 2: cannot read 'B = subsample x by=f(1)' as a node (by='f(1)' is no value)"),
        ("B = subsample x by=1.", "line 2: cannot read 'B = subsample x by=1.' as a node (by='1.' is not of type int)"),
        ("X = fft x real=1", "line 2: cannot read 'X = fft x real=1' as a node (real='1' is not of type bool)"),
        ("X = fft x box=[]", "line 2: cannot read 'X = fft x box=[]' as a node (box='[]' is not of type tuple)"),
        (
            "X = fft x box=({},)",
            "line 2: cannot read 'X = fft x box=({},)' as a node (box='({},)' is not of type tuple)",
        ),
        ("x = input # one\nx = input # two", "line 3: x is defined twice"),
        (
            "X = fft x real=True real=False  # why",
            "line 2: cannot read 'X = fft x real=True real=False  # why' as a node (real is given twice)",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(lines: str, message: str) -> None:
    with pytest.raises(CompileError, match=f"^{re.escape(message)}$"):
        parse_graph(HEAD + lines)


def test_hostile_values_are_refused() -> None:
    for value in ("(" * 9000, "-" * 9000 + "1", "9" * 9000, "[" * 200 + "]" * 200, "__import__('os')", "1\0"):
        with pytest.raises(CompileError, match=r"^line 2: cannot read .* \(by=['\"].{1,40}['\"] is no"):
            parse_graph(f"{HEAD}B = subsample x by={value}\n")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("f() = modulus x", "'f()'"),
        ("_U = modulus x", "'_U'"),
        ("U\u00b2 = modulus x", "'U²'"),
        ("a;b = modulus x", "'a;b'"),
        ("U = modulus f(x)", "'f(x)'"),
        ("U = pad x mode=zero;f()", "mode='zero;f()'"),
        ("Z = filter x bank=", "bank=''"),
    ],
)
def test_names_are_names(line: str, word: str) -> None:
    """They become names of the emitted code, so nothing else may pass for one."""
    with pytest.raises(CompileError, match=f"{re.escape(f'({word} is no name)')}$"):
        parse_graph(HEAD + line)


@pytest.mark.parametrize("text", ["", "\n", "x = input\n", "graph", " graph {}", "Graph {}"])
def test_text_must_begin_with_the_spec(text: str) -> None:
    with pytest.raises(CompileError, match=r"^line 1: a graph's text begins with 'graph ' and the spec's JSON$"):
        parse_graph(text)


def test_the_spec_must_be_one() -> None:
    with pytest.raises(SpecError, match=r"^json='\{' is not possible"):
        parse_graph("graph {\nx = input\n")
    with pytest.raises(SpecError, match=r"^J=0 is not possible"):
        parse_graph('graph {"dim":1,"shape":8,"J":0}\nx = input\n')


def test_graphs_pickle_and_show_networkx() -> None:
    import pickle

    graph = lower(SPEC)
    assert pickle.loads(pickle.dumps(graph)) == graph
    networkx = pytest.importorskip("networkx")
    picture = graph.digraph()
    assert set(picture.nodes) == set(graph.nodes)
    assert networkx.is_arborescence(picture)
    assert picture.nodes["x"]["node"] == Input()
    assert graph != Graph(Spec(dim=1, shape=8, J=1), graph.nodes)
    assert graph != str(graph)
