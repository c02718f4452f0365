"""What is compiled from a compiled plan: programs of its gradient, and forward ones that keep something for it."""

from __future__ import annotations

from dataclasses import replace

from scatc.codegen import find_target
from scatc.ir.adjoint import adjoint, cheapest_save, storing
from scatc.ir.errors import TargetError
from scatc.ir.graph import Graph
from scatc.ir.schedule import schedule
from scatc.runtime.plan import Compiled


def save_mode(compiled: Compiled) -> str:
    """What a forward run keeps for the gradient: what was asked for, or else the cheapest."""
    if compiled.program.graph.spec.joint:
        return "inputs"
    return compiled.options.save or cheapest_save(compiled.program.graph, compiled.options)


def gradient(compiled: Compiled, save: str) -> Compiled:
    """The vector-Jacobian product, for what a forward run kept.

    Raises
    ------
    TargetError
        If the transform is a joint one, of which there is no such program.
    """
    if compiled.program.graph.spec.joint:
        raise TargetError(
            f"target={compiled.target!r} has no gradient of joint time-frequency scattering by itself: differentiate a "
            "plan for target='torch', 'tensorflow' or 'jax' by its framework"
        )
    return _derive(compiled, adjoint(compiled.program.graph, save))


def keeping(compiled: Compiled, save: str) -> Compiled:
    """The forward program that keeps what the gradient wants."""
    return compiled if save == "inputs" else _derive(compiled, storing(compiled.program.graph, save))


def _derive(compiled: Compiled, graph: Graph) -> Compiled:
    """The same target and options for another graph; tables of the same name are the same arrays."""
    target, options = find_target(compiled.target), compiled.options
    # both ways through a branch hold more at once: with somewhat less, the forward run's arena mostly serves both
    machine = replace(options.machine, cache_bytes=options.machine.cache_bytes * 7 // 8)
    options = replace(options, machine=machine)
    program = schedule(graph, options, target.memory(options, vector=True))
    tables = target.tables(program, options, known=compiled.tables)
    source = target.emit(program, options, tables, compiled.version)
    return replace(compiled, program=program, given_tables=tables, given_source=source, recipe="")
