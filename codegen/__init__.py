"""Programs to source text; one folder per target.

A target is a folder that offers `TARGET`; nothing else names it, so adding one adds a folder and edits none. A folder
without is shared by several.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache
from typing import Any, Protocol

from numpy.typing import NDArray

from scatc.ir.cost import Machine
from scatc.ir.errors import TargetError
from scatc.ir.options import Options
from scatc.ir.schedule import MemoryModel, Program

Tables = dict[str, NDArray[Any]]
"""The arrays that emitted code is bound to, by name."""


def table_bytes(tables: Tables) -> int:
    """Bytes of tables, of which some may be one array by several names."""
    return sum({id(table): table.nbytes for table in tables.values()}.values())


def table_lines(tables: Tables) -> list[str]:
    """What the header of a source says of its tables: names, dtypes, shapes."""
    return [f"{name:<24} {table.dtype} {table.shape}" for name, table in sorted(tables.items())]


class Target(Protocol):
    """What a target knows.

    Attributes
    ----------
    name : str
        That of its folder.
    runtime : str
        The module of `scatc.runtime` that has its plans.
    requires : tuple of str
        The distributions that emitted code needs, besides scatc's own; their versions are part of a plan's key.
    scheduled : bool
        Whether emitted code has loops and an arena. Where it has none, the framework holds memory and threads, and
        `memory_limit` and `workers` are refused.
    builds : tuple of str
        Where its text is for a C compiler, the options that the text depends on, besides the graph and the shapes of
        the tables: what is built is kept, and known by these. Empty elsewhere.
    saves : tuple of str
        What a forward run can keep for its gradient (`scatc.ir.adjoint.SAVES`).
    """

    name: str
    runtime: str
    requires: tuple[str, ...]
    scheduled: bool
    builds: tuple[str, ...]
    saves: tuple[str, ...]

    def machine(self, fft: str) -> Machine:
        """The constants of the cost model, given the name of the FFT library."""
        ...

    def memory(self, options: Options, *, vector: bool = False) -> MemoryModel:
        """What emitted code allocates; `vector` is for programs of gradients, and those that store for them."""
        ...

    def tables(self, program: Program, options: Options, known: Tables | None = None) -> Tables:
        """The filters, matrices and indices that emitted code needs; those of a program that shares names are known."""
        ...

    def emit(self, program: Program, options: Options, tables: Tables, version: str) -> str:
        """The source text."""
        ...


def targets() -> list[str]:
    """The names of the targets there are."""
    return sorted(name for name in _folders() if _target(name) is not None)


def _folders() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(__path__) if module.ispkg}


def _target(folder: str) -> Target | None:
    return getattr(importlib.import_module(f"{__name__}.{folder}"), "TARGET", None)


def find_target(name: str) -> Target:
    """The target of a name.

    Raises
    ------
    TargetError
        If there is none; the message lists those there are.
    """
    given: Any = name
    target = _known(given) if isinstance(given, str) else None
    if target is None:
        raise TargetError(f"target={name!r} is not possible: target must be one of {', '.join(map(repr, targets()))}")
    return target


@lru_cache
def _known(name: str) -> Target | None:
    return _target(name) if name in _folders() else None
