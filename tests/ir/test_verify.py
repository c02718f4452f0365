"""Every check of `verify` fires, with its exact words, and graphs that the compiler makes pass at every stage."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import stages
from strategies import selections, specs

from scatc.ir.errors import CompileError
from scatc.ir.graph import Graph
from scatc.ir.lower import lower
from scatc.ir.options import Options
from scatc.ir.passes import run_passes
from scatc.ir.spec import Spec
from scatc.ir.text import parse_graph
from scatc.ir.verify import verify

ONE = Spec(dim=1, shape=8, J=1, order=1, T=2, pre_pad=True)  # 16 samples
THREE = Spec(dim=3, shape=(4, 4, 4), J=0, L=1, order=1)


def graph_of(*lines: str, spec: Spec = ONE) -> Graph:
    return parse_graph("\n".join([f"graph {spec.to_json()}", "x = input", *lines]))


@given(st.data(), st.sampled_from(["float32", "float64"]))
@settings(max_examples=60)
def test_what_the_compiler_makes_is_well_formed(data: st.DataObject, dtype: str) -> None:
    spec = data.draw(specs())
    select = data.draw(st.one_of(st.none(), selections(spec)))
    level = {"lower": "scattering", "select_paths": "scattering", "infer_support": "scattering", "to_fourier": "any"}
    for name, graph in stages(spec, Options(dtype=dtype, select=select)):
        verify(graph)
        verify(graph, level.get(name, "program"))


def test_empty_graphs_are_well_formed() -> None:
    verify(Graph(ONE))
    verify(graph_of())


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["U = modulus V"], "'V' is not defined above"),
        (["U = modulus U"], "'U' is not defined above"),
        (["U = modulus V", "V = modulus x"], "'V' is not defined above"),
        # spectra and samples
        (["Z = ifft x"], "it needs a spectrum"),
        (["Y = fold x bank=psi1 indices=(0,)"], "it needs a spectrum"),
        (["X = fft x", "U = modulus X"], "it needs samples, not a spectrum"),
        (["X = fft x", "out = output X paths=((),)"], "it needs samples, not a spectrum"),
        (["X = fft x", "XX = fft X"], "it needs samples, not a spectrum"),
        # real and complex
        (["Z = filter x bank=psi1", "ZZ = filter Z bank=psi1"], "its input must be real"),
        (["Z = filter x bank=psi1", "S = average Z"], "its input must be real"),
        (["Z = filter x bank=psi1", "X = fft Z real=True"], "real=True needs a real input"),
        # banks
        (["Z = filter x bank=psi2"], "there is no filter (0,) in bank 'psi2'"),
        (["Z = filter x bank=psi1 index=9"], "there is no filter (9,) in bank 'psi1'"),
        (["X = fft x", "Y = fold X bank=psi indices=(0,)"], "there is no filter (0,) in bank 'psi'"),
        (["X = fft x", "Y = fold X bank=psi1 indices=(0,-1)"], "there is no filter (0, -1) in bank 'psi1'"),
        (["X = fft x", "Y = fold X bank=psi1"], "it names no filter"),
        # resolutions
        (["D = subsample x by=5"], "2**5 does not divide the grid (16,)"),
        (["D = subsample x by=-1"], "its by must not be negative"),
        (["D = subsample x by=1", "Z = filter D bank=psi1"], "it is meant for level 0, and its input is at level 1"),
        (["S = average x level=1"], "it is meant for level 1, and its input is at level 0"),
        (["X = fft x", "Y = fold X bank=psi1 indices=(0,) level=2"],
         "it is meant for level 2, and its input is at level 0"),
        (["X = fft x", "Y = fold X bank=psi1 indices=(0,) by=5"], "2**5 does not divide the grid (16,)"),
        # modes
        (["U = pad x widths=((1,1),) mode=mirror"], "its mode must be one of reflect, zero, periodic"),
        (["S = average x mode=mean"], "its mode must be one of local, global, integral"),
        (["S = lowpass x kept=((0,2),) methods=('sparse',)"], "its methods must be of dense, banded"),
        # one entry for each axis
        (["U = pad x widths=((1,1),(1,1))"], "its widths must have 1 entries, one for each axis"),
        (["S = unpad x"], "its kept must have 1 entries, one for each axis"),
        (["X = fft x box=((0,1),(0,1))"], "its box must have 1 entries, one for each axis"),
        (["S = lowpass x kept=((0,2),)"], "its methods must have 1 entries, one for each axis"),
        (["S = lowpass x kept=((0,2),) methods=('dense',) taps=(1,3)"],
         "its taps must have 1 entries, one for each axis"),
        (["X = fft x", "Y = fold X bank=psi1 indices=(0,) starts=((0,0),) widths=(4,)"],
         "its starts and widths must have 1 entries, one for each axis"),
        # samples kept
        (["S = unpad x kept=((0,17),)"], "it keeps samples outside of the (16,) there are"),
        (["S = unpad x kept=((-1,4),)"], "it keeps samples outside of the (16,) there are"),
        (["S = unpad x kept=((5,4),)"], "it keeps samples outside of the (16,) there are"),
        (["S = lowpass x by=1 kept=((0,9),) methods=('dense',)"], "it keeps samples outside of the (8,) there are"),
        # windows
        (["X = fft x", "Y = fold X bank=psi1 indices=(0,0) starts=((0,),) widths=(4,)"],
         "it needs one start for each filter"),
        (["X = fft x", "Y = fold X bank=psi1 indices=(0,) starts=((0,),) widths=(0,)"], "its windows hold no bins"),
        (["X = fft x box=((-2,3),)", "Y = fold X bank=psi1 indices=(0,) starts=((-3,),) widths=(4,)"],
         "it reads bins -3:1 of a spectrum that holds -2:3"),
        (["X = fft x box=((-2,3),)", "Y = fold X bank=psi1 indices=(0,) starts=((0,),) widths=(4,)"],
         "it reads bins 0:4 of a spectrum that holds -2:3"),
        # bins that come back
        (["X = fft x", "Z = ifft X real=True"], "it needs (9,) bins, and there are (16,)"),
        (["X = fft x box=((0,9),)", "Z = ifft X"], "it needs (16,) bins, and there are (9,)"),
        (["X = fft x", "Y = fold X bank=psi1 indices=(0,) half=True", "Z = ifft Y"],
         "it needs (16,) bins, and there are (9,)"),
        # paths
        (["out = output x"], "it names 0 paths of 1"),
        (["out = output x paths=((),(0,))"], "it names 2 paths of 1"),
        (["X = fft x", "Y = fold X bank=psi1 indices=(0,1)", "Z = ifft Y", "S = output Z paths=((0,),)"],
         "it names 1 paths of 2"),
        # components
        (["Z = filter x bank=psi1", "U = modulus Z weights=(1,2)"], "it has 2 weights for 1 components"),
        (["X = fft x", "Y = fold X bank=psi1 indices=(0,) components=(0,1)"], "its filters have 1 components"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_line(lines: list[str], problem: str) -> None:
    with pytest.raises(CompileError, match=f"^.*: {re.escape(problem)}$") as caught:
        verify(graph_of(*lines))
    assert str(caught.value).removesuffix(f": {problem}") in lines


def test_components_of_solid_harmonics() -> None:
    weights = ["Z = filter x bank=psi index=1", "U = modulus Z weights=(1,2)"]
    with pytest.raises(CompileError, match=r"^U = modulus Z weights=\(1,2\): it has 2 weights for 3 components$"):
        verify(graph_of(*weights, spec=THREE))
    verify(graph_of("Z = filter x bank=psi index=1", "U = modulus Z weights=(1,2,2)", spec=THREE))
    both = ["X = fft x", "Y = fold X bank=psi indices=(0,1)"]
    with pytest.raises(CompileError, match=r": its filters have 1, 3 components$"):
        verify(graph_of(*both, spec=THREE))
    three = ["X = fft x", "Y = fold X bank=psi indices=(1,) components=(1,3)"]
    with pytest.raises(CompileError, match=r": its filters have 3 components$"):
        verify(graph_of(*three, spec=THREE))


def test_a_graph_has_one_input() -> None:
    with pytest.raises(CompileError, match=r"^a graph has one input$"):
        verify(graph_of("y = input"))


def test_a_path_is_output_once() -> None:
    with pytest.raises(CompileError, match=r"^a path is output twice$"):
        verify(graph_of("a = output x paths=((),)", "b = output x paths=((),)"))


@pytest.mark.parametrize(
    ("line", "level", "allowed"),
    [
        ("Z = filter x bank=psi1", "scattering", True),
        ("Z = filter x bank=psi1", "program", False),
        ("D = subsample x by=1", "program", False),
        ("X = fft x", "program", True),
        ("X = fft x", "scattering", False),
        ("S = lowpass x kept=((0,2),) methods=('dense',)", "scattering", False),
        ("U = modulus x", "scattering", True),
        ("U = modulus x", "program", True),
    ],
)
def test_each_level_has_its_kinds(line: str, level: str, allowed: bool) -> None:
    graph = graph_of(line)
    verify(graph)
    if allowed:
        verify(graph, level)
        return
    kind = line.split()[2]
    with pytest.raises(CompileError, match=f"^{re.escape(line)}: a {level} graph has no node of kind {kind}$"):
        verify(graph, level)


def test_debug_mode_verifies_after_each_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr("scatc.ir.passes.verify", lambda graph: seen.append(len(graph)))
    graph = lower(ONE)
    for value, debug, expected in (("", None, 0), ("0", None, 0), ("1", None, 10), ("1", False, 0), ("", True, 10)):
        monkeypatch.setenv("SCATC_DEBUG", value)
        seen.clear()
        _, records = run_passes(graph, Options(), debug=debug)
        assert len(seen) == expected
        assert expected in (0, len(records))
