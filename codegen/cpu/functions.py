"""The functions that a transform needs, each written once for its sizes."""

from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import jinja2

from scatc.codegen import Tables
from scatc.codegen.cpu import fft, tables
from scatc.codegen.cpu.code import constant
from scatc.codegen.cpu.layout import Grid, Half, padded, spread
from scatc.ir.errors import TargetError

LARGEST_LENGTH = 1 << 14
"""Of a transform along columns: its rows are on the stack."""


COLUMNS = ("dft_", "prime_dft_")


class Functions:
    """What was asked for so far; texts are in an order in which callees come first.

    Attributes
    ----------
    tables : dict of str to array
        The twiddles that functions read.
    longest : int
        Vectors of the longest column that is transformed on its way from rows to rows.
    """

    def __init__(self, dtype: str, line: int, powers: tuple[float, ...], known: Tables) -> None:
        self.dtype, self.lanes, self.powers, self.known = dtype, line, powers, known
        self.tables: Tables = {}
        self.longest = 1
        self._texts: dict[str, str] = {}
        self._named: dict[str, str] = {}

    def texts(self) -> list[str]:
        """All functions."""
        return [*self.columns(), *self.others()]

    def transforms(self) -> list[str]:
        """The names of the DFTs along columns."""
        return [name for name in self._texts if name.startswith("dft_")]

    def columns(self) -> list[str]:
        """The DFTs along columns, and what they call."""
        return [text for name, text in self._texts.items() if name.startswith(COLUMNS)]

    def others(self) -> list[str]:
        """All other functions."""
        return [text for name, text in self._texts.items() if not name.startswith(COLUMNS)]

    def dft(self, n: int) -> None:
        """Along columns of n rows."""
        if f"dft_{n}" in self._texts:
            return
        if max(n, max(fft.large_radices(n), default=0)) > LARGEST_LENGTH:
            raise TargetError(
                f"transforms of {n} samples along one axis are not possible with target='cpu': at most "
                f"{LARGEST_LENGTH}; compile with target='numpy'"
            )
        turns = fft.twiddles(n)
        if turns.size:
            self.tables[f"turns_{n}"] = turns.astype(self.dtype)
        for p in fft.large_radices(n):
            if f"prime_dft_{p}" not in self._texts:
                self._texts[f"prime_dft_{p}"] = self._render("primes.c.j2", "prime_dft", p)
        self._texts[f"dft_{n}"] = "\n".join(fft.column_dft(n, self.dtype))

    def inverse(self, grid: Grid) -> str:
        """From a spectrum to the moduli of a line or an image: the sizes for `inverse_line` or `inverse_image`."""
        return self._plane(grid.kind, grid.inverse)

    def cube(self, bins: Half) -> tuple[str, str]:
        """How a volume is transformed, and its bins, by their names."""
        for macro in ("types", "forward_planes", "forward", "inverse"):
            self._add(f"cube {macro}", "cubes.c.j2", macro)
        return self._cube(bins.grid.shape), self._half(bins)

    def image(self, bins: Half) -> tuple[str, str]:
        """The same of an image, which is a volume of one plane."""
        for template, macro in (("cubes", "types"), ("cubes", "forward_planes"), ("images", "forward")):
            self._add(f"image {macro}", f"{template}.c.j2", macro)
        return self._cube(bins.grid.shape), self._half(bins)

    def _cube(self, shape: tuple[int, ...]) -> str:
        for n in shape:
            self.dft(n)
        self.longest = max(self.longest, padded(shape[-1], self.lanes), *shape)
        name = "x".join(map(str, shape))
        return self._add(f"cube_{name}", "cubes.c.j2", "cube", name, *(None,) * (3 - len(shape)), *shape)

    def _half(self, bins: Half) -> str:
        self.longest = max(self.longest, bins.stride)
        low = f"{bins.deep[0]}, {bins.wide[0]}"
        high = f"{bins.deep[1]}, {bins.wide[1]}"
        fields = f"{{{low}}}, {{{high}}}, {bins.columns}, {bins.stride}, {bins.plane}, {bins.part}"
        if fields not in self._named:
            self._named[fields] = f"half_{sum(name.startswith('half_') for name in self._named.values())}"
            self._texts[self._named[fields]] = f"static const half {self._named[fields]} = {{{fields}}};"
        return self._named[fields]

    def wave(self, terms: int, kind: str) -> str:
        """From a spectrum to a real wave of a volume."""
        return self._add(f"wave_{terms}{kind}", "cubes.c.j2", "wave", terms, kind)

    def _plane(self, kind: str, lengths: tuple[int, int]) -> str:
        self._add(f"inverse_{kind}", f"{'planes' if kind == 'line' else 'images'}.c.j2", "inverse")
        return self._sizes(kind, *lengths)

    def forward(self, grid: Grid) -> str:
        """From samples to the spectrum of a pair: a function, and what it is given first."""
        kind = "line" if grid.kind == "line" else "image"
        self._add(f"forward_{kind}", "planes.c.j2", "forward", kind)
        sizes = self._sizes(kind, *grid.forward)
        if grid.kind == "volume":
            self.dft(grid.shape[0])
            shape = "x".join(map(str, grid.shape))
            return self._add(f"forward_volume_{shape}", "volumes.c.j2", "forward", *grid.shape) + "(c"
        return f"forward_{kind}(c, &{sizes}"

    def _sizes(self, kind: str, first: int, second: int) -> str:
        self._steps(kind, first, second)
        self.longest = max(self.longest, padded(first, self.lanes), second)
        turns = f"turns_{first}x{second}" if kind == "line" and first > 1 else "-1"
        return self._add(f"sizes_{first}x{second}", "planes.c.j2", "sizes", first, second, turns)

    def _steps(self, kind: str, first: int, second: int) -> None:
        self.dft(first)
        self.dft(second)
        if kind == "line" and first > 1:
            name = f"turns_{first}x{second}"
            if name not in self.tables:
                known = self.known.get(name)
                self.tables[name] = tables.turns(first, second, self.dtype) if known is None else known

    def average_columns(self, together: int) -> str:
        """Averages along the columns of an image."""
        return self._add(f"average_columns_{together}", "averages.c.j2", "average_columns", together)

    def average_spectra(self, n: int, m: int) -> str:
        """Averages along the columns of an image, by way of their spectra."""
        self.dft(n)
        self.dft(m)
        return self._add(f"average_spectra_{n}_{m}", "averages.c.j2", "average_spectra", n, m)

    def integrals(self) -> str:
        """Sums of powers."""
        return self._add("integrals", "volumes.c.j2", "integrals", self.powers)

    def walk(self, kind: str) -> None:
        """What goes through signals, which are data."""
        self._add("walk", "walk.c.j2", "walk", kind)

    def statements(self, macro: str, name: str, lines: list[str]) -> str:
        """A function of `walk.c.j2` around statements; there is one for all signals that need the same."""
        key = "\n".join([macro, *lines])
        if key not in self._named:
            self._named[key] = self._add(name, "walk.c.j2", macro, name, lines)
        return self._named[key]

    def _add(self, name: str, template: str, macro: str, *arguments: object) -> str:
        if name not in self._texts:
            self._texts[name] = self._render(template, macro, *arguments)
        return name

    def _render(self, template: str, macro: str, *arguments: object) -> str:
        module = (
            templates()
            .get_template(template)
            .make_module(
                {
                    "pad": lambda n: padded(n, self.lanes),
                    "spread": lambda n: spread(n, self.lanes),
                    "index_of": lambda n: f"turns_{n}" if f"turns_{n}" in self.tables else -1,
                    "turns_of": lambda n: f"c->tables[turns_{n}]" if f"turns_{n}" in self.tables else "NULL",
                    "number": lambda value: constant(value, self.dtype),
                    "slope": lambda power: self._vector_power(power - 1),
                    "vector_power": self._vector_power,
                    "scalar_power": self._scalar_power,
                }
            )
        )
        return str(getattr(module, macro)(*arguments)).strip("\n")

    def _vector_power(self, power: float) -> str:
        """A power of x, a vector."""
        if power == int(power) and 1 <= power <= 4:
            return " * ".join(["x"] * int(power))
        if power == -0.5:
            return "1 / root(x)"
        if power in (0.5, 1.5):
            return "root(x)" if power == 0.5 else "x * root(x)"
        return f"raised(x, {power!r})"

    def _scalar_power(self, power: float) -> str:
        if power == int(power) and 1 <= power <= 4:
            return " * ".join(["x"] * int(power))
        return f"{'powf' if self.dtype == 'float32' else 'pow'}(x, {power!r})"


@lru_cache(maxsize=1)
def templates() -> jinja2.Environment:
    """The templates."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("scatc.codegen.cpu"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )


def exchanges(lanes: int) -> list[SimpleNamespace]:
    """The steps in which `lanes` vectors of as many lanes are turned over: halves of ever smaller blocks swap."""
    steps, distance = [], lanes // 2
    while distance:
        low = [i if not i & distance else lanes + i - distance for i in range(lanes)]
        high = [i + distance if not i & distance else lanes + i for i in range(lanes)]
        steps.append(SimpleNamespace(distance=distance, low=_list(low), high=_list(high)))
        distance //= 2
    return steps


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def names(dtype: str) -> dict[str, Any]:
    """What a dtype is called in C."""
    single = {"real": "float", "integer": "int32_t", "suffix": "ps", "intrinsic": "", "sqrt": "sqrtf", "pow": "powf"}
    double = {"real": "double", "integer": "int64_t", "suffix": "pd", "intrinsic": "d", "sqrt": "sqrt", "pow": "pow"}
    return {**single, "itemsize": 4} if dtype == "float32" else {**double, "itemsize": 8}
