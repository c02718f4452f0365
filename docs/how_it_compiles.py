# %% [markdown]
# # How a transform is compiled
#
# One small transform, followed from what is asked for to the code that runs. Read it from top to bottom, or run it:
#
#     python docs/how_it_compiles.py
#
# Every statement below that can be checked is an `assert`. docs/architecture.md names the folder of each stage,
# docs/passes.md lists the passes, docs/scattering1d.md has the mathematics.

# %%
from dataclasses import replace

import numpy as np

import scatc
from scatc.codegen import find_target
from scatc.ir.cost import graph_costs
from scatc.ir.filters import banks
from scatc.ir.graph import Graph
from scatc.ir.interpret import interpret
from scatc.ir.lower import lower
from scatc.ir.options import Options
from scatc.ir.passes import PASSES
from scatc.ir.schedule import schedule
from scatc.ir.text import parse_graph, print_node
from scatc.ir.verify import verify


def title(text: str) -> None:
    print(f"\n== {text}")


def show(graph: Graph, *names: str) -> None:
    """Print the lines of some nodes, those that the graph has."""
    for name in names:
        if name in graph.nodes:
            print("   ", print_node(name, graph[name]))


# %% [markdown]
# ## The spec
#
# `Spec` says what is to be computed. Defaults are filled in and equal transforms become equal specs: T = 2^3 = 8
# samples of averaging, one output every 8 samples. The digest of the canonical text names the transform in the cache.

# %%
title("spec")
spec = scatc.Spec(dim=1, shape=1024, J=3, Q=1)
print(spec)
print("padded:", spec.padded_shape, "of which", spec.padding_widths, "before and behind")
assert spec == scatc.Spec.from_json(spec.to_json())
assert (spec.T, spec.stride, spec.padded_shape) == (8, 8, (2048,))

# %% [markdown]
# ## The filters
#
# A bank answers two questions about a filter: what is its response on these bins, and outside of which bins is it
# negligible (all but a tolerance of the sum of its moduli lies inside). Four wavelets suffice at Q = 1, J = 3. The
# last has scale j = 1: a signal filtered by it may be subsampled by 2. Two observations drive the compiler: low
# frequencies need few bins, and after the modulus everything is real.

# %%
title("filters: centre and width in cycles per sample, scale, bins that hold all but 1e-8")
known = banks(spec)
for bank in (known["phi"], known["psi1"]):
    for index, f in enumerate(bank.info):
        (band,) = bank.support(index, 0, 1e-8)
        print(
            f"    {bank.name}[{index}]  xi {f.xi:.4f}  sigma {f.sigma:.4f}  j {f.j}  bins {band.start:5} .. {band.stop}"
        )
assert [f.j for f in known["psi1"].info] == [0, 0, 0, 1]
assert known["psi1"].support(3, 0, 1e-8)[0].size < spec.padded_shape[0] / 4

# %% [markdown]
# ## The scattering graph
#
# Lowering writes the definition out, one node an operation. `Z` is filtered, `D` subsampled, `U` its modulus, `A`
# averaged, `B` subsampled to the output's rate, `S` without the padding; the rest of a name is the path. Only a
# larger scale continues a path, so (0,), (1,) and (2,) have one child each, by the wavelet of scale 1, and (3,) has
# none. The comment behind `#` is inferred: real or complex, how many samples, log2 of the subsampling.

# %%
title("scattering graph")
graph = lower(spec)
verify(graph, "scattering")
print(graph)
assert parse_graph(str(graph)) == graph
assert [path for _, output in graph.outputs for path in output.paths][:3] == [(), (0,), (0, 3)]

# %% [markdown]
# ## The oracle
#
# `interpret` evaluates a graph node by node in float64, as the definitions say. It is slow and obvious. Whatever a
# pass does, the interpreter must find the same numbers before and after.

# %%
x = np.random.default_rng(0).standard_normal((2, 1024))
meant = interpret(graph, x)
options = Options(dtype="float32", machine=find_target("numpy").machine("scipy"))
steps = iter(PASSES)


def run_next(expected: str) -> Graph:
    """Run the next pass; print how many nodes it leaves and how far the result moved from what was meant."""
    run = next(steps)
    assert run.__name__ == expected
    after = run(graph, options)
    verify(after)
    found = interpret(after, x)
    assert found.keys() == meant.keys()
    moved = max(np.linalg.norm(found[p] - meant[p]) / np.linalg.norm(meant[p]) for p in meant)
    title(f"{expected}: {len(graph)} -> {len(after)} nodes, the result moved by {moved:.0e}")
    assert moved < 1e-6
    return after


# %% [markdown]
# ## The passes
#
# **select_paths** would drop the paths that `select=` leaves out, and what only they need. Here nothing is left out.

# %%
assert run_next("select_paths") == graph

# %% [markdown]
# **infer_support** writes beside each filter the bins that matter. From here on a filter is a short vector, not an
# array of the signal's length. We follow path (3,).

# %%
graph = run_next("infer_support")
show(graph, "Z_3", "A_3")

# %% [markdown]
# **to_fourier** makes each convolution a product of spectra. `fold` is the product (it will also fold, hence the
# name), `X` the one spectrum of a signal, shared by all its filters. A product with phi gives a real signal, so
# `half` of its bins suffice.

# %%
graph = run_next("to_fourier")
show(graph, "X0", "Y_3", "Z_3", "D_3", "U_3", "X_3", "P_3", "A_3", "B_3", "S_3")
assert graph.users["X0"] == ("P0", "Y_0", "Y_1", "Y_2", "Y_3")

# %% [markdown]
# **fuse_fold** subsamples in the frequency domain. To keep one sample in 2 is to add the upper half of the spectrum
# to the lower half, so the product goes straight into the short spectrum (`by=1`), the inverse FFT is half as long,
# and no full-size product exists. Only the modulus of the result is used, so the window may land on bin 0
# (`shifted`): that turns phases alone.

# %%
graph = run_next("fuse_fold")
show(graph, "Y_3", "Z_3", "D_3", "U_3", "P_3", "A_3", "S_3")
assert "D_3" not in graph.nodes
assert graph["Y_3"].by == 1

# %% [markdown]
# **fuse_ripples** is for [joint time-frequency scattering](joint.md), which filters along the rows of several paths.
# Here nothing does.

# %%
assert run_next("fuse_ripples") == graph

# %% [markdown]
# **use_real**: U is real, so the FFT of U computes half of the bins; the others are their conjugates.

# %%
graph = run_next("use_real")
show(graph, "X0", "X_3")

# %% [markdown]
# **lower_leaves**: averaging, subsampling and unpadding are one linear map from U to its coefficient. phi spans few
# samples here, so the map is a banded matrix: each frame of samples meets the same small block. The cost model says
# that this beats two FFTs; the FFT of U_3, which only phi needed, disappears.

# %%
through_fft = graph
graph = run_next("lower_leaves")
show(graph, "U_3", "S_3")
assert "X_3" not in graph.nodes
seconds = [
    sum(c.seconds for c in graph_costs(g, options.machine, options.itemsize).values()) for g in (through_fft, graph)
]
print(f"    predicted: {1e6 * seconds[0]:.0f} us before, {1e6 * seconds[1]:.0f} us after")
assert seconds[1] < seconds[0]

# %% [markdown]
# **batch_siblings**: paths of one parent whose nodes have equal shapes become one node with a path axis. (0,), (1,)
# and (2,) merge, and so do their children. (3,) lives at half their resolution and stays alone.

# %%
graph = run_next("batch_siblings")
show(graph, "Y_0_to_2", "U_0_to_2", "Y_0_3_to_2_3", "out_0_3_to_2_3", "Y_3")
assert graph["out_0_3_to_2_3"].paths == ((0, 3), (1, 3), (2, 3))

# %% [markdown]
# **narrow_spectra**: of a spectrum only the bins that some filter reads are kept, in natural order, so that a window
# around bin 0 is one contiguous slice. (A box may hold some bins twice, where windows reach around the circle from
# both sides.)

# %%
graph = run_next("narrow_spectra")
show(graph, "X0", "X_0_to_2")

# %% [markdown]
# **centre_spectra**: no wavelet sees the signal's mean, so the FFT of the signal is taken without it, and its rounding
# does not grow with the mean.

# %%
graph = run_next("centre_spectra")
show(graph, "X0")
assert next(steps, None) is None

# %% [markdown]
# The result is the spectral program, in full:

# %%
title("spectral program")
verify(graph, "program")
print(graph)

# %% [markdown]
# ## The schedule
#
# The order is depth-first. A loop over the filters of a fold holds everything below it, so that at any moment one
# chain of ancestors is alive. How many filters and signals run together follows from the cache size of the machine
# (or from `memory_limit`). Values whose lives do not overlap share the memory of one arena; the offsets count bytes
# for one signal.

# %%
title("schedule")
target = find_target("numpy")
program = schedule(graph, options, target.memory(options))
print(program)
assert program.offsets["U_0_to_2"] < program.arena

# %% [markdown]
# With a tenth of that memory, fewer signals and then fewer filters run together, and loops appear. The graph and the
# numbers stay the same.

# %%
tight = replace(options, memory_limit=program.working_bytes // 10)
small = schedule(graph, tight, target.memory(tight))
print(
    f"    {program.working_bytes} bytes: batch {program.batch}; {small.working_bytes} bytes: batch {small.batch}, and"
)
print("\n".join(line for line in str(small).splitlines() if "for " in line))
assert small.working_bytes <= program.working_bytes // 10

# %% [markdown]
# ## The source
#
# The target's emitter walks the schedule and writes one block a node, under the node's own line. Tables (filters on
# their windows, matrices of phi, indices) are bound by name when the plan is loaded.
#
# The blocks stand in several functions, because several threads may share even one signal. `trunk` computes order 0
# and X0. Each fold of X0 opens a branch: a function of that fold and all that follows from it, which needs X0 and
# nothing of the other branches. `run` calls the trunk and then the branches, slice by slice of their filters.

# %%
title("source")
tables = target.tables(program, options)
source = target.emit(program, options, tables, scatc.__version__)
print(source)
for name, _ in graph:
    assert name == "x" or f"# {name} = " in source
assert program.branches == ("Y_0_to_2", "Y_3")
assert [program.branch(name) for name in ("X0", "S0", "S_0_3_to_2_3", "S_3")] == [None, None, "Y_0_to_2", "Y_3"]
assert all(f"def branch_{name}(" in source for name in program.branches)

# %% [markdown]
# ## The plan
#
# `scatc.compile` does all of the above, loads the source, and gives back a plan. Its workers share chunks of a batch,
# each with `run`, or the branches where there are fewer chunks than workers. Its texts are those we have seen:
# `plan.ir()`, `plan.schedule()`, `plan.source()`. Its numbers are the oracle's, to single precision.

# %%
title("plan")
plan = scatc.compile(spec, workers=1, cache=False)
y = plan(x)
print(f"    {x.shape} {x.dtype} -> {y.shape} {y.dtype}")
assert plan.ir().splitlines()[0] == str(graph).splitlines()[0]
for order in range(spec.order + 1):
    rows = [row.row for row in plan.meta() if row.order == order]
    wanted = np.stack([meant[plan.paths[row]] for row in rows], axis=1)
    error = np.linalg.norm(y[:, rows] - wanted) / np.linalg.norm(wanted)
    print(f"    order {order}: {len(rows)} paths, relative error {error:.0e}")
    assert error < 1e-5

# %%
title("report")
print(plan.report())
