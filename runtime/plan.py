"""`Plan`: a compiled transform, whatever it was compiled for: what it is, and how it can be read."""

from __future__ import annotations

import importlib
import math
import os
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from pathlib import Path as FilePath
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from scatc.codegen import Tables, find_target
from scatc.ir.errors import TargetError
from scatc.ir.options import Options
from scatc.ir.passes import PassRecord
from scatc.ir.paths import Path, PathRow, path_table
from scatc.ir.schedule import Program
from scatc.ir.spec import Spec
from scatc.runtime import draw, fft, report
from scatc.runtime.load import load_source


@dataclass(frozen=True, slots=True)
class Record:
    """How a plan came to be: whether from the cache, in how many seconds, and what each pass did."""

    source: str = "compiled"
    seconds: float = 0.0
    passes: tuple[PassRecord, ...] = ()


@dataclass(frozen=True)
class Compiled:
    """What a plan is made of; all of it can be printed, and none of it is executed when it is read from a file.

    Tables and source follow from the rest: what of them is not given is made when it is first asked for.

    Attributes
    ----------
    target : str
    program : Program
    options : Options
    given_tables : dict of str to array, or None
    given_source : str or None
    version : str
        Of the package, which the source names.
    recipe : str
        A digest of all that the source is emitted from; empty where the source itself says what it is.
    record : Record
    """

    target: str
    program: Program
    options: Options
    given_tables: Tables | None = None
    given_source: str | None = None
    version: str = ""
    recipe: str = ""
    record: Record = field(default_factory=Record)

    @cached_property
    def tables(self) -> Tables:
        """The arrays that the source is bound to."""
        if self.given_tables is not None:
            return self.given_tables
        return find_target(self.target).tables(self.program, self.options)

    @cached_property
    def source(self) -> str:
        """The text."""
        if self.given_source is not None:
            return self.given_source
        return find_target(self.target).emit(self.program, self.options, self.tables, self.version)


class Part(Protocol):
    """The transform or its gradient, as far as it can be read."""

    @property
    def program(self) -> Program:
        """The loops and nodes."""
        ...

    @property
    def source(self) -> str:
        """The text."""
        ...


class Plan:
    """A compiled transform; what it can be called on is for the class of its target (`scatc.runtime.<target>`).

    Plans are made by `scatc.compile`. They are immutable and may be called from many threads at once.

    Attributes
    ----------
    spec : Spec
    dtype : numpy.dtype
        Of the output, and of all arithmetic.
    target : str
    """

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._program, self._options = compiled.program, compiled.options
        self.spec: Spec = compiled.program.graph.spec
        self.dtype: np.dtype[Any] = np.dtype(compiled.options.dtype)
        self.target = compiled.target

    @cached_property
    def _module(self) -> ModuleType:
        """The source, loaded."""
        return load_source(self._compiled.source, self.target)

    def __repr__(self) -> str:
        return f"<scatc {self.target} plan, {self.dtype}, {len(self._program.places)} paths, of {self.spec!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._compiled,)

    def __call__(self, x: Any) -> Any:
        """Transform signals."""
        raise NotImplementedError

    def grouped(self, x: Any) -> list[Any]:
        """Transform signals into the arrays of `groups`, of shape ``batch + (paths, *samples)`` each; see a call."""
        raise NotImplementedError

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths that are output, in order."""
        return tuple(row.path for row in self.meta())

    @property
    def groups(self) -> tuple[tuple[tuple[int, ...], tuple[Path, ...]], ...]:
        """The arrays that programs write, one for each shape of coefficients: this shape, and the paths."""
        return self._program.outputs

    def meta(self, sampling_rate: float = 1.0) -> tuple[PathRow, ...]:
        """The table of paths, one row for each row of the output, in its order.

        Parameters
        ----------
        sampling_rate : float, optional
            Samples per second (or per unit of length): frequencies are then in Hz.

        Raises
        ------
        ValueError
            If it is not a finite number above 0.
        """
        rate: Any = sampling_rate
        if not isinstance(rate, Real) or not 0 < float(rate) < math.inf:
            raise ValueError(f"sampling_rate={sampling_rate!r} is not possible: it must be a finite number above 0")
        rows = [row for row in path_table(self.spec, float(sampling_rate)) if row.path in self._program.places]
        return tuple(rows)

    def check_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The batch axes of an input of this shape.

        Raises
        ------
        ValueError
            If its last axes are not `spec.input_shape`.
        """
        expected = self.spec.input_shape
        axes = max(len(shape) - len(expected), 0)
        if tuple(shape[axes:]) != expected:
            raise ValueError(f"x has shape {tuple(shape)}: it must end with {expected}")
        return tuple(shape[:axes])

    def ir(self, of: str = "forward") -> str:
        """The spectral program as text, one node a line; `of` may be 'vjp', for that of the gradient.

        Raises
        ------
        TargetError
            If the framework differentiates by itself: there is no program of the gradient.
        """
        return str(self._part(of).program.graph)

    def schedule(self, of: str = "forward") -> str:
        """The loops, and where each value lives, as text; `of` may be 'vjp', see `ir`."""
        text = str(self._part(of).program)
        if find_target(self.target).scheduled:
            return text
        _, _, nodes = text.partition("\n")
        return f"program  # the whole batch at once: memory and threads are the framework's\n{nodes}"

    def source(self, of: str = "forward") -> str:
        """The source text that runs, to the letter; `of` may be 'vjp', see `ir`."""
        return self._part(of).source

    def _part(self, of: str) -> Part:
        """The transform, or its gradient."""
        if of == "vjp":
            part = self._vjp_part()
            if part is None:
                raise TargetError(
                    f"of='vjp' is not possible with target={self.target!r}, whose framework differentiates the source "
                    "by itself: compile with target='numpy' or 'torch' to read a gradient"
                )
            return part
        if of != "forward":
            raise ValueError(f"of={of!r} is not possible: of must be 'forward' or 'vjp'")
        return self._compiled

    def _vjp_part(self) -> Part | None:
        """The gradient, where there is a program of it."""
        return None

    def report(self) -> str:
        """Arithmetic, traffic, memory, loops and passes, as text."""
        ours, compiled = find_target(self.target).scheduled, self._compiled
        engine = ("fft", fft.describe() if ours else "that of the framework")
        memory = None if ours else report.NOT_OURS
        return report.report(self._program, self._options, compiled.record, compiled.tables, engine, memory)

    def draw(self, path: str | os.PathLike[str] | None = None) -> str:
        """The graph as Graphviz text, or as a picture.

        Parameters
        ----------
        path : path-like, optional
            Where to write: ``.dot`` or ``.gv`` for text; ``.svg``, ``.png`` or ``.pdf`` for a picture, which needs
            matplotlib.

        Returns
        -------
        str
            The Graphviz text.
        """
        return draw.draw(self._program.graph, None if path is None else FilePath(path))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan to a file, data only; `scatc.load` reads it back."""
        from scatc.runtime.store import to_entry, write_entry

        write_entry(path, to_entry(self._compiled))


def make_plan(compiled: Compiled) -> Plan:
    """The plan of what was compiled, of its target's class: `PLAN` of the module that the target names.

    Raises
    ------
    TargetError
        If the framework that the target is for is not installed.
    """
    try:
        module = importlib.import_module(f"scatc.runtime.{find_target(compiled.target).runtime}")
    except ModuleNotFoundError as error:
        raise TargetError(
            f"target={compiled.target!r} needs {error.name}, which is not installed: "
            f"pip install 'scatc[{compiled.target}]'"
        ) from error
    plan: Plan = module.PLAN(compiled)
    return plan
