"""The emitted text of GPU kernels; what they compute is tested in tests/frameworks."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import gcd, prod
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import specs

from scatc.codegen import find_target
from scatc.codegen.triton import tables
from scatc.codegen.triton.cost import DEVICES
from scatc.codegen.triton.emitter import Emitter
from scatc.codegen.triton.fft import LARGEST_RADIX, radices
from scatc.codegen.triton.images import columns, rows, sums
from scatc.codegen.triton.images import tables as image_tables
from scatc.codegen.triton.images.mixed import MOST_LISTED, MOST_SECOND, Stages, groups, stages
from scatc.codegen.triton.launch import Launch
from scatc.codegen.triton.lines import blocks, wavelet
from scatc.codegen.triton.lines.choices import Way
from scatc.codegen.triton.lines.spans import WIDEST, reach, thinning, thinning_reach
from scatc.codegen.triton.lines.walk import Lines
from scatc.codegen.triton.predict import prediction
from scatc.codegen.triton.target import TritonTarget
from scatc.ir.filters import banks
from scatc.ir.options import Options
from scatc.ir.paths import all_paths
from scatc.ir.spec import Spec
from scatc.runtime.driver import build

TARGET = find_target("cuda")
SPEC = Spec(dim=1, shape=16, J=2)


def compiled_source(spec: Spec) -> str:
    return build(spec, TARGET, Options(machine=TARGET.machine(""))).source


def emitted(spec: Spec) -> Emitter:
    assert isinstance(TARGET, TritonTarget)
    compiled = build(spec, TARGET, Options(machine=TARGET.machine("")))
    return TARGET.emitted(compiled.program, compiled.options)


def test_golden_module(golden: Callable[[str, str], None]) -> None:
    golden("codegen/triton_1d", compiled_source(SPEC))


def test_golden_kernel_in_registers(golden: Callable[[str, str], None]) -> None:
    shape = wavelet.default(256, 64, 40, ("local",), outputs=4)
    golden("codegen/triton_wavelet_64", wavelet.body(shape))


def test_golden_kernels_of_blocks(golden: Callable[[str, str], None]) -> None:
    shape = wavelet.default(64, 32, 16, ("pack",), crop=4, hop=24)
    golden("codegen/triton_cut_64", f"{blocks.cut(blocks.default_cut(64, 32, around=False))}\n\n{wavelet.body(shape)}")


def test_golden_module_of_images(golden: Callable[[str, str], None]) -> None:
    golden("codegen/triton_2d", compiled_source(Spec(dim=2, shape=(8, 8), J=1, L=1)))


def test_golden_kernel_for_rows(golden: Callable[[str, str], None]) -> None:
    golden(
        "codegen/triton_rows_12",
        rows.body(rows.default(Stages(3, 4), 6, 2, (12, 24), 2)),
    )


def test_golden_kernel_for_columns(golden: Callable[[str, str], None]) -> None:
    shape = columns.default(Stages(5, 4, coprime=True), 20, True, ("local", "pack"), outputs=4)
    golden("codegen/triton_columns_20", columns.body(shape))


def test_golden_kernel_of_sums(golden: Callable[[str, str], None]) -> None:
    shape = sums.default((12, 10), (0.25, 0.5, 0.25), -1, 4, 3)
    assert shape is not None
    golden("codegen/triton_sums_12", sums.body(shape))


@given(st.data())
def test_every_source_is_tidy(data: st.DataObject) -> None:
    check_tidy(emitted(data.draw(specs(dims=(1, 2)).filter(lambda spec: bool(all_paths(spec))))))


@given(st.data())
def test_every_source_of_a_gradient_is_tidy(data: st.DataObject) -> None:
    spec = data.draw(specs(dims=(1, 2)).filter(lambda spec: bool(all_paths(spec))))
    assert isinstance(TARGET, TritonTarget)
    compiled = build(spec, TARGET, Options(machine=TARGET.machine("")))
    check_tidy(TARGET.emitted_gradient(compiled.program, compiled.options))


@pytest.mark.parametrize(("J", "Q", "whole"), [(8, 8, False), (13, 12, True)])
def test_long_signals_go_in_blocks(J: int, Q: int, whole: bool) -> None:
    """Where phi is short beside the signal, what its padding alone would need is not computed."""
    spec = Spec(dim=1, shape=65536, J=J, Q=Q)
    emitter = emitted(spec)
    assert isinstance(emitter, Lines)
    check_tidy(emitter)
    choices = emitter.choices.signals
    first = [choices[signal.name] for signal in emitter.root.children if signal.length > 8192]
    assert first and all(choice.way is Way.BLOCKS for choice in first)
    assert all(choice.line.whole == whole for choice in first)
    longest = emitter.root.children[0]
    kept = choices[longest.name].line.length / longest.length
    assert kept == 1 if whole else 0.5 < kept < 0.6
    # what was chosen is no more than what could have been
    for choice in choices.values():
        assert all(choice.seconds <= other for other in choice.others.values()) or choice.way is Way.BLOCKS
    report = emitter.explain()
    assert all(signal.name in report for signal in emitter.root.all() if signal.parent is not None)
    assert "BLOCKS" in report and "MATRIX" in report
    # the walk is the same every time
    assert emitted(spec).source == emitter.source


@pytest.mark.parametrize("length", [256, 1000])
def test_blocks_hold_what_they_are_asked_for(length: int) -> None:
    """The middles of blocks, side by side, hold the span that is read; halos hold the reach of every filter."""
    spec = Spec(dim=1, shape=40 * length, J=6, Q=4, T=64)
    emitter = emitted(spec)
    assert isinstance(emitter, Lines)
    found = 0
    for signal in emitter.root.all():
        choice = emitter.choices.signals[signal.name]
        if choice.cut is None or signal.fold is None or signal.parent is None:
            continue
        found += 1
        by, cut = signal.level - signal.parent.level, choice.cut
        far = reach(spec, signal.fold, 1e-8)
        assert far is not None and far <= cut.halo and cut.length == cut.hop + 2 * cut.halo
        span = emitter.choices.spans[signal.name]
        if choice.line.whole:
            assert choice.line.length == signal.length
        else:
            assert choice.line.first <= span.first and span.stop <= choice.line.first + choice.line.length
        assert choice.line.first << by == cut.first
        assert choice.line.length <= cut.count * cut.hop >> by
    assert found


def test_reaches_hold_the_mass() -> None:
    spec = Spec(dim=1, shape=4096, J=6, Q=2)
    emitter = emitted(spec)
    assert isinstance(emitter, Lines)
    for signal in emitter.root.children:
        assert signal.fold is not None
        far = reach(spec, signal.fold, 1e-8)
        for index in signal.fold.indices:
            h = np.abs(np.fft.ifft(banks(spec)["psi1"].response(index)[0]))
            distance = np.minimum(np.arange(len(h)), len(h) - np.arange(len(h)))
            if far is not None:
                assert h[distance > far].sum() <= 1.01e-8 * h.sum()


def test_a_thinned_signal_is_what_its_readers_expect() -> None:
    """What is aliased into the band that is read is faint, and the Gaussian's taps beyond its reach are, too."""
    for band in (0.2, 0.1, 0.03, 0.001):
        found = thinning(band)
        if found is None:
            assert 2 * band > WIDEST
            continue
        rate = 1 / (1 << found.by)
        read, aliased = found.response(np.array([band, rate - band]))
        assert aliased <= 1.001e-9 * read and read > 0.2
        width = 1 / (2 * np.pi * found.sigma)
        assert np.exp(-0.5 * (found.reach / width) ** 2) <= 1.1e-9
        assert thinning_reach(found.by) >= found.reach or band * (1 << found.by) < WIDEST / 2
    assert thinning(0.4) is None


def check_tidy(emitter: Emitter) -> None:
    """What holds of every module."""
    source = emitter.source
    tree = ast.parse(source)
    # what a line is about may be long, as in other targets
    assert max(len(line) for line in source.split('"""', 2)[2].splitlines() if line.lstrip()[:1] != "#") <= 160
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    # each table is used, and each that is used is there
    assert set(re.findall(r't\["(\w+)"\]', source)) == set(emitter.tables)
    # each kernel is launched with as many arguments as it has
    launches = [step for step in emitter.steps if isinstance(step, Launch)]
    for launch in launches:
        arguments = functions[launch.kernel].args.args
        assert [a.arg for a in arguments] == [*launch.types, *launch.constants]
        assert len(launch.arguments) == len(launch.types)
    # only the first axis of a grid may be long
    chunk = int(re.search(r"^CHUNK = (\d+)", source, re.MULTILINE)[1])  # type: ignore[index]
    triton = SimpleNamespace(cdiv=lambda a, b: -(-a // b))
    for launch in launches:
        for axis, programs in enumerate(launch.grid):
            size = eval(programs, {"triton": triton, "n": chunk, "pairs": (chunk + 1) // 2})
            assert 0 < size < (1 << 31 if axis == 0 else 1 << 16), launch
    # what is not launched is called by what is
    unused = set(functions) - {launch.kernel for launch in launches} - {f"{launch.kernel}_part" for launch in launches}
    assert {n for n in unused if not n.startswith("branch_")} <= {
        "run",
        "sized",
        "sizes",
        "below",
        "trunk",
        "low",
        "high",
        "both",
        "phase",
        "around",
        "product",
        "product_left",
        "roots",
        "settled",
    }
    # every path is output, or its cotangent comes in
    rows = [table for name, table in emitter.tables.items() if name.endswith("_row")]
    raw = len(re.findall(r"\] = x(\[.*\])?\n|^    gradient(\[.*\])? \+= ", source, re.MULTILINE))
    assert sum(map(len, rows)) + raw >= sum(len(paths) for shape, paths in emitter.program.outputs if prod(shape))


@given(st.data())
def test_predictions_add_up(data: st.DataObject) -> None:
    spec = data.draw(specs(dims=(1, 2)).filter(lambda spec: bool(all_paths(spec))))
    emitter = emitted(spec)
    batch = data.draw(st.integers(1, 5000))
    found = [prediction(emitter, batch, device) for device in DEVICES]
    for one in found:
        assert 0 < one.floor < one.seconds
        assert one.bytes == pytest.approx(batch * sum(w.bytes for w in emitter.works()))
        assert str(one).count("\n") == len(one.rows) + 4
    with pytest.raises(ValueError, match="device='abacus' is not possible: device must be one of 'H200'"):
        prediction(emitter, batch, "abacus")


@pytest.mark.parametrize("bits", range(15))
def test_stages_multiply_to_the_length(bits: int) -> None:
    stages = radices(1 << bits)
    assert prod(stages) == 1 << bits
    assert max(stages) <= LARGEST_RADIX
    assert all(a <= b for a, b in pairwise(stages))
    if bits:
        with pytest.raises(ValueError, match="is not a power of two"):
            radices((1 << bits) + 1)


def test_a_matrix_is_the_sum_of_two_of_tf32() -> None:
    a = np.random.default_rng(0).standard_normal((50, 50))
    high, low = tables.split(a)
    assert not np.any(high.view(np.int32) & 0x1FFF)
    np.testing.assert_array_equal(high.astype(np.float64) + low, a.astype(np.float32))
    assert np.abs(low).max() < 2.0**-10 * np.abs(a).max()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.sampled_from([0.0, 1e-8, 0.1, 1.0]))
def test_bins_that_are_kept_hold_the_mass(half: list[float], tolerance: float) -> None:
    phi = np.array([*half, *half[:0:-1]])
    assume(sum(half) > 0)
    count = tables.held_bins(phi, tolerance)
    mass = np.abs(phi[: len(phi) // 2 + 1])
    assert 1 <= count <= len(mass)
    assert mass[count:].sum() <= tolerance * mass.sum() * (1 + 1e-9) + 1e-300
    if count > 1:
        assert mass[count - 1 :].sum() > tolerance * mass.sum() * (1 - 1e-9)


@pytest.mark.parametrize("length", [*range(1, 300), 512, 1024, 1280])
def test_stages_with_an_odd_factor(length: int) -> None:
    for least in (1, 2, 4):
        split = stages(length, least)
        possible = [t for t in (1, 2, 4, 8, 16, 32) if t >= least and length % t == 0 and length // t <= MOST_LISTED]
        assert (split is None) == (not possible)
        if split is not None:
            assert split.length == length and least <= split.second <= MOST_SECOND
            assert not split.coprime
            free = stages(length, least, ordered=False)
            assert free == replace(split, coprime=split.second > 1 and gcd(split.first, split.second) == 1)


def test_coprime_stages_have_no_twiddles_between_them() -> None:
    """The two transforms of a length in their order, without anything between, are the whole."""
    split = Stages(33, 4, coprime=True)
    x = np.random.default_rng(0).standard_normal(132)
    y = np.fft.fft2(x[split.inputs].reshape(33, 4)).T.ravel()
    np.testing.assert_allclose(y, np.fft.fft(x)[split.outputs], atol=1e-12)


@pytest.mark.parametrize("count", range(1, 41))
def test_groups_are_powers_of_two(count: int) -> None:
    found = groups(count)
    assert [start for start, _, _ in found] == [0, *np.cumsum([size for _, size, _ in found])[:-1]]
    assert sum(kept for _, _, kept in found) == count
    assert all(size & (size - 1) == 0 and 0 < kept <= size for _, size, kept in found)
    assert 8 * (sum(size for _, size, _ in found) - count) <= count


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=20), st.sampled_from([0.0, 1e-3, 0.3]))
def test_what_is_left_out_is_little(values: list[float], tolerance: float) -> None:
    a = np.array([values, values[::-1]])[:, :, None]
    cut = image_tables.without_small(a, tolerance)
    assert np.all((cut == 0) | (cut == a))
    assert np.all(np.abs(a - cut).sum((1, 2)) <= tolerance * np.abs(a).sum((1, 2)) * (1 + 1e-9))
