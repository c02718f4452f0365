"""Every pass: its text before and after, the meaning that it must not change, and when it does nothing.

What is particular to the passes that choose and merge is in `test_passes_choices.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import before, stages, worst
from strategies import selections, signal, signals, specs, without_roots
from support import ROOT

from scatc.ir.graph import Graph
from scatc.ir.interpret import interpret
from scatc.ir.lower import lower
from scatc.ir.nodes import Average, Fft, Filter, Fold, Ifft, Lowpass, Modulus, Subsample, Unpad
from scatc.ir.options import Options
from scatc.ir.passes import PASSES, run_passes
from scatc.ir.passes import __main__ as passes_document
from scatc.ir.passes.__main__ import document
from scatc.ir.paths import all_paths
from scatc.ir.spec import Spec
from scatc.ir.text import print_graph
from scatc.ir.values import infer
from scatc.ir.verify import verify

Golden = Callable[[str, str], None]

RUN = {run.__name__: run for run in PASSES}
NAMES = list(RUN)

# On which transform each pass is shown.
ONE = Spec(dim=1, shape=16, J=2, order=1, Q=1)
EXAMPLES: dict[str, tuple[Spec, Options]] = {
    "select_paths": (Spec(dim=1, shape=16, J=3), Options(select=frozenset({(1, 3), (2,)}))),
    "infer_support": (ONE, Options()),
    "to_fourier": (ONE, Options()),
    "fuse_fold": (Spec(dim=1, shape=32, J=3, order=1), Options()),
    "fuse_ripples": (Spec(dim=1, shape=16, J=1, J_fr=1), Options()),
    "use_real": (Spec(dim=3, shape=(8, 8, 8), J=1, L=1, sigma_0=1.5, order=1), Options()),
    "lower_leaves": (Spec(dim=1, shape=64, J=1, order=1), Options()),
    "batch_siblings": (Spec(dim=1, shape=32, J=3, T=8), Options()),
    "narrow_spectra": (Spec(dim=1, shape=64, J=4, order=1, T="global"), Options(select=frozenset({(3,), (4,)}))),
    "centre_spectra": (Spec(dim=1, shape=16, J=2, order=1), Options(select=frozenset({(), (1,)}))),
}


def test_there_is_an_example_of_each_pass() -> None:
    assert list(EXAMPLES) == NAMES
    for name, run in RUN.items():
        assert run.__doc__, name
        assert "=>" in run.__doc__, f"{name}: state the rewrite"
        assert "egal" in run.__doc__, f"{name}: say when it is legal"
        assert run.__module__ == f"scatc.ir.passes.{name}"


@pytest.mark.parametrize("name", NAMES)
def test_golden_text(name: str, golden: Golden) -> None:
    spec, options = EXAMPLES[name]
    graph = before(name, spec, options)
    after = RUN[name](graph, options)
    assert after != graph, "this example shows nothing"
    golden(f"ir/passes/{name}_before", print_graph(graph))
    golden(f"ir/passes/{name}_after", print_graph(after))


def test_every_pass_is_documented_with_an_example() -> None:
    text = document()
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    numbered = [f"## {number}. `{name}`" for number, name in enumerate(NAMES, 1)]
    assert headings == [*numbered, "## The gradient: `adjoint`"]
    for section in text.split("\n## ")[1:]:
        assert "\n+ " in section or section.startswith("1."), "the example shows nothing"


def test_the_document_is_up_to_date() -> None:
    path = ROOT / "docs" / "passes.md"
    assert path.read_text(encoding="utf-8") == document(), f"run: python -m scatc.ir.passes {path}"


def test_the_document_is_printed_or_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    passes_document.main([])
    assert capsys.readouterr().out == document()
    passes_document.main([str(tmp_path / "passes.md")])
    assert (tmp_path / "passes.md").read_text(encoding="utf-8") == document()


# ---- meaning --------------------------------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=80)
def test_passes_keep_the_meaning_in_double_precision(data: st.DataObject) -> None:
    spec = without_roots(data.draw(specs()))
    x = data.draw(signals(spec.input_shape))
    # below a hundredth of the signal, 1e-12 would be less than what rounding leaves of values that cancel
    check_meaning(spec, Options(dtype="float64"), x, floor=1e-2, tolerance=1e-12)


@given(st.data())
@settings(max_examples=60)
def test_passes_keep_the_meaning_in_single_precision(data: st.DataObject) -> None:
    spec = without_roots(data.draw(specs()))
    x = data.draw(signals(spec.input_shape))
    check_meaning(spec, Options(dtype="float32"), x, floor=0.1, tolerance=1e-6)


def check_meaning(spec: Spec, options: Options, x: np.ndarray[Any, Any], floor: float, tolerance: float) -> None:
    """No pass changes a coefficient, in the norm of its order (or a part of that of the signal, if it is less)."""
    reference = previous = None
    for name, graph in stages(spec, options):
        verify(graph)
        got = interpret(graph, x)
        if previous is not None and reference is not None:
            smallest = floor * float(np.linalg.norm(x))
            assert worst(got, previous, smallest) < tolerance, name
            assert worst(got, reference, smallest) < tolerance, f"{name}, with those before it"
        reference = got if reference is None else reference
        previous = got


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "spec",
    [
        Spec(dim=1, shape=1000, J=5, Q=4),
        Spec(dim=1, shape=512, J=4, Q=(3, 1, 1), order=3, T=0),
        Spec(dim=1, shape=512, J=5, T=20.5, stride=4),
        Spec(dim=2, shape=(48, 37), J=3, L=3),
        Spec(dim=2, shape=(20, 24), J=2, L=2, T="global"),
        Spec(dim=3, shape=(16, 14, 12), J=1, L=2),
        Spec(dim=3, shape=(9, 8, 12), J=2, L=2, sigma_0=0.7),
    ],
    ids=lambda spec: f"{spec.dim}D-{'x'.join(map(str, spec.shape))}-{spec.average}",
)
def test_passes_keep_the_meaning_at_size(spec: Spec, dtype: str) -> None:
    """Large enough for banded matrices, narrow windows and truncated filters; noise, so strictly order by order."""
    x = signal("noise", spec.input_shape, 11)
    graph, _ = run_passes(lower(spec), Options(dtype=dtype), debug=True)
    assert worst(interpret(graph, x), interpret(lower(spec), x)) < {"float32": 1e-6, "float64": 1e-12}[dtype]


@given(st.data())
@settings(max_examples=40)
def test_twice_is_once(data: st.DataObject) -> None:
    spec = data.draw(specs())
    select = data.draw(st.one_of(st.none(), selections(spec)))
    options = Options(dtype=data.draw(st.sampled_from(["float32", "float64"])), select=select)
    for (_, _), (name, graph) in zip(stages(spec, options), list(stages(spec, options))[1:], strict=False):
        if name != "batch_siblings":  # it merges nodes of single paths, and finds batched ones at its end
            assert RUN[name](graph, options) == graph, name


@given(specs())
@settings(max_examples=40)
def test_selecting_all_or_nothing_in_particular_changes_nothing(spec: Spec) -> None:
    everything = Options(select=frozenset(all_paths(spec)))
    for (name, plain), (_, selected) in zip(stages(spec, Options()), stages(spec, everything), strict=True):
        assert selected == plain or not all_paths(spec), name


# ---- what is left, and what passes leave alone ----------------------------------------------------------------------


@given(st.data())
@settings(max_examples=40)
def test_each_pass_removes_what_it_is_for(data: st.DataObject) -> None:
    spec = data.draw(specs())
    graphs = dict(stages(spec, Options()))

    def count(name: str, *kinds: type) -> int:
        return sum(isinstance(node, kinds) for _, node in graphs[name])

    locally = [n for _, n in graphs["infer_support"] if isinstance(n, Average) and n.mode == "local"]
    assert all(len(n.support) == spec.dim for n in locally)
    assert all(len(n.support) == spec.dim for _, n in graphs["infer_support"] if isinstance(n, Filter))
    assert count("to_fourier", Filter) == 0
    assert not [n for _, n in graphs["to_fourier"] if isinstance(n, Average) and n.mode == "local"]
    assert count("to_fourier", Fold) == count("infer_support", Filter) + len(locally)
    sources = [n.x for _, n in graphs["to_fourier"] if isinstance(n, Fft)]
    assert len(sources) == len(set(sources)), "one FFT of each U"
    assert count("fuse_fold", Subsample) == 0
    for name, node in graphs["fuse_fold"]:
        if isinstance(node, Fold):
            (inverse,) = graphs["fuse_fold"].users[name]
            readers = [graphs["fuse_fold"][r] for r in graphs["fuse_fold"].users[inverse]]
            assert node.shifted == all(isinstance(r, Modulus) for r in readers)
    assert all(n.real for _, n in graphs["use_real"] if isinstance(n, Fft))
    assert len(graphs["batch_siblings"]) <= len(graphs["lower_leaves"])
    values = infer(graphs["narrow_spectra"])
    for name, node in graphs["narrow_spectra"]:
        if isinstance(node, Fft) and node.box:
            folds = [graphs["narrow_spectra"][user] for user in graphs["narrow_spectra"].users[name]]
            assert all(isinstance(fold, Fold) and fold.widths for fold in folds)
            assert values[name].shape == tuple(b - a for a, b in node.box)


NOTHING: dict[str, list[Spec]] = {
    "infer_support": [Spec(dim=2, shape=(8, 8), J=1, order=0, T="global")],
    "to_fourier": [Spec(dim=1, shape=8, J=1, order=0, T=0), Spec(dim=2, shape=(8, 8), J=1, order=0, T="global")],
    "fuse_fold": [Spec(dim=1, shape=8, J=1, order=0, T=0), Spec(dim=1, shape=16, J=2, order=0, stride=1)],
    "use_real": [Spec(dim=1, shape=8, J=1, order=0, T=0)],
    "lower_leaves": [Spec(dim=1, shape=32, J=2, T=0), Spec(dim=3, shape=(4, 4, 4), J=0, L=1)],
    "batch_siblings": [Spec(dim=1, shape=32, J=2, order=0, T="global")],
    "narrow_spectra": [Spec(dim=1, shape=32, J=2, T="global", order=0), Spec(dim=1, shape=8, J=2, order=1, T=0)],
    "centre_spectra": [
        Spec(dim=1, shape=8, J=1, order=0, T=0),
        Spec(dim=3, shape=(4, 4, 4), J=0, L=1),
        Spec(dim=3, shape=(1, 8, 1), J=0, L=1),
    ],
}


@pytest.mark.parametrize(("name", "spec"), [(name, spec) for name, found in NOTHING.items() for spec in found])
def test_a_pass_does_nothing_where_it_has_nothing_to_do(name: str, spec: Spec) -> None:
    graph = before(name, spec, Options())
    assert RUN[name](graph, Options()) == graph


@pytest.mark.parametrize("name", NAMES)
def test_empty_graphs_pass_through(name: str) -> None:
    empty = Graph(ONE)
    assert RUN[name](empty, Options(select=frozenset())) == empty


def test_records_say_what_each_pass_left() -> None:
    graph, records = run_passes(lower(ONE), Options())
    assert [record.name for record in records] == NAMES
    assert records[-1].nodes == len(graph)
    assert all(record.milliseconds >= 0 for record in records)


def test_programs_hold_the_kinds_of_programs() -> None:
    spec = Spec(dim=2, shape=(32, 32), J=2, L=2)
    graph, _ = run_passes(lower(spec), Options())
    verify(graph, "program")
    kinds = {type(node) for _, node in graph}
    assert not kinds & {Filter, Subsample}
    assert kinds & {Lowpass, Unpad} and {Fft, Fold, Ifft, Modulus} <= kinds
