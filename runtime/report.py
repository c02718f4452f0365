"""The report of a plan: what it does, what that costs, and what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scatc.codegen import Tables, table_bytes
from scatc.ir.cost import Cost, graph_costs
from scatc.ir.nodes import Input
from scatc.ir.options import Options
from scatc.ir.paths import order_of
from scatc.ir.schedule import Program

if TYPE_CHECKING:
    from scatc.runtime.plan import Record


def report(
    program: Program,
    options: Options,
    record: Record,
    tables: Tables,
    engine: tuple[str, str],
    memory: list[str] | None = None,
) -> str:
    """The text of `plan.report()`.

    Parameters
    ----------
    program, options, record, tables
        What the plan is made of.
    engine : (str, str)
        What it runs on: what kind of thing, and which.
    memory : list of str, optional
        The lines about loops and memory; by default, what the schedule says.
    """
    parts = [
        _head(program, options, record, engine),
        _costs(program, options),
        [*(_memory(program, options) if memory is None else memory), *_sizes(program, options, tables)],
        *([_passes(record)] if record.passes else []),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


NOT_OURS = ["memory    the framework's, which runs the whole batch at once"]


def limited(limit: int | None) -> str:
    """What stands behind a figure that `memory_limit` bounds."""
    return "" if limit is None else f" (memory_limit {limit})"


def _head(program: Program, options: Options, record: Record, engine: tuple[str, str]) -> list[str]:
    orders: dict[int, int] = {}
    for path in program.places:
        order = order_of(program.graph.spec, path)
        orders[order] = orders.get(order, 0) + 1
    counts = ", ".join(f"{n} of order {order}" for order, n in sorted(orders.items()))
    return [
        f"spec      {program.graph.spec}",
        f"paths     {len(program.places)}: {counts}",
        f"dtype     {options.dtype}; filters cut where {options.tolerance:g} of their L1 mass is left",
        f"{engine[0]:<10}{engine[1]}",
        f"made      {record.source} in {1e3 * record.seconds:.0f} ms",
    ]


def _costs(program: Program, options: Options) -> list[str]:
    """Costs by node kind, for one signal, with the floor that the machine's constants set."""
    machine = options.machine
    costs = graph_costs(program.graph, machine, options.itemsize)
    kinds: dict[str, tuple[int, Cost]] = {}
    for name, node in program.graph:
        count, cost = kinds.get(node.kind, (0, Cost()))
        kinds[node.kind] = (count + 1, cost + costs[name])
    total = sum(costs.values(), Cost())
    lines = [f"{'one signal':<10}{'nodes':>7}{'Mflop':>10}{'MB moved':>10}{'ms predicted':>14}"]
    for kind, (count, cost) in sorted(kinds.items(), key=lambda item: -item[1][1].seconds):
        lines.append(_row(kind, count, cost))
    lines.append(_row("total", len(program.graph), total))
    compulsory = options.itemsize * (_samples(program) + sum(_output_sizes(program)))
    rate = max(machine.fft_rate, machine.matmul_rate)
    lines.append(
        f"floor     {1e3 * max(compulsory / machine.bandwidth, total.flops / rate):.3f} ms on {machine.name}: "
        f"{compulsory / 1e6:.3f} MB in and out at {machine.bandwidth / 1e9:.0f} GB/s, "
        f"{total.flops / 1e6:.1f} Mflop at {rate / 1e9:.0f} Gflop/s, one worker"
    )
    return lines


def _row(kind: str, count: int, cost: Cost) -> str:
    return f"{kind:<10}{count:>7}{cost.flops / 1e6:>10.2f}{cost.bytes / 1e6:>10.2f}{1e3 * cost.seconds:>14.3f}"


def _samples(program: Program) -> int:
    return next(value.samples for name, value in program.values.items() if isinstance(program.graph[name], Input))


def _output_sizes(program: Program) -> list[int]:
    return [program.values[name].samples for name, _ in program.graph.outputs]


def _memory(program: Program, options: Options) -> list[str]:
    return [
        f"loops     up to {program.batch} signals at a time, {program.workers} worker(s); "
        f"{sum(map(program.split, program.chunks))} of {len(program.chunks)} folds in chunks of filters",
        f"memory    {program.working_bytes} bytes of working memory{limited(options.memory_limit)}: "
        f"{program.workers} worker(s) x {program.batch} signals x "
        f"({program.arena} in the arena + {program.outside} outside)",
    ]


def _sizes(program: Program, options: Options, tables: Tables) -> list[str]:
    return [
        f"tables    {table_bytes(tables)} bytes of filters, matrices and indices",
        f"output    {options.itemsize * sum(_output_sizes(program))} bytes a signal",
    ]


def _passes(record: Record) -> list[str]:
    lines = [f"{'pass':<18}{'nodes after':>12}{'ms':>8}"]
    return lines + [f"{p.name:<18}{p.nodes:>12}{p.milliseconds:>8.1f}" for p in record.passes]
