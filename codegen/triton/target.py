"""What the GPU targets know: machine, tables and source text."""

from __future__ import annotations

from collections.abc import Callable

from scatc.codegen import Tables
from scatc.codegen.functional import NoArena
from scatc.codegen.triton.emitter import Emitter
from scatc.codegen.triton.images.walk import Images
from scatc.codegen.triton.images.walk_t import ImagesT
from scatc.codegen.triton.lines.walk import Lines
from scatc.codegen.triton.lines.walk_t import LinesT
from scatc.codegen.triton.tuned import Tuned
from scatc.codegen.triton.volumes.axis_by_axis import quickest
from scatc.codegen.triton.volumes.axis_by_axis_t import quickest_gradient
from scatc.ir.cost import Machine
from scatc.ir.errors import CompileError, TargetError
from scatc.ir.options import Options
from scatc.ir.schedule import Program

EMITTERS: dict[int, Callable[..., Emitter]] = {1: Lines, 2: Images, 3: quickest}
"""By the dimension of the transform."""

GRADIENTS: dict[int, Callable[..., Emitter]] = {1: LinesT, 2: ImagesT, 3: quickest_gradient}
"""The same for gradients."""


class TritonTarget:
    """See `scatc.codegen.Target`.

    Parameters
    ----------
    name : str
        Of the target.
    tensor_cores : bool
        Whether products of float32 are made of products of TF32: NVIDIA's way.
    """

    requires = ("torch", "triton")
    scheduled = False
    builds: tuple[str, ...] = ()
    saves: tuple[str, ...] = ("inputs",)
    runtime = "triton"

    def __init__(self, name: str, *, tensor_cores: bool) -> None:
        self.name, self.tensor_cores = name, tensor_cores
        self._last: tuple[Program, Options, Emitter] | None = None

    def machine(self, fft: str) -> Machine:
        """The constants of the cost model of the passes: memory is what costs, arithmetic hardly does."""
        return Machine(
            f"{self.name} GPU", fft_rate=1e13, matmul_rate=3e13, bandwidth=3e12, call=5e-6, cache_bytes=1 << 40
        )

    def memory(self, options: Options, *, vector: bool = False) -> NoArena:
        """Nothing is cut into chunks by the scheduler: emitted code has chunks of its own."""
        return NoArena()

    def tables(self, program: Program, options: Options, known: Tables | None = None) -> Tables:
        """The arrays that kernels read."""
        emitter = self.emitted(program, options)
        self._last = program, options, emitter
        return emitter.tables

    def emit(self, program: Program, options: Options, tables: Tables, version: str) -> str:
        """The source text."""
        last, self._last = self._last, None
        if last is None or last[0] is not program or last[1] is not options:  # else its tables were made just now
            return self.emitted(program, options, version).source
        last[2].version = version
        return last[2].source

    def emitted(self, program: Program, options: Options, version: str = "", tuned: Tuned | None = None) -> Emitter:
        """The walk over a program: its source and tables, its steps, its kernels and its choices."""
        if program.graph.spec.joint:
            raise TargetError(
                f"joint time-frequency scattering is not possible with target={self.name!r}: compile with "
                "target='torch', which runs on GPUs, too"
            )
        if options.dtype != "float32":
            raise CompileError(
                f"dtype={options.dtype!r} is not possible with target={self.name!r}, whose kernels compute in float32: "
                "compile with target='torch' for float64 on a GPU"
            )
        return EMITTERS[program.graph.spec.dim](program, options, self.tensor_cores, version, tuned)

    def emitted_gradient(
        self, program: Program, options: Options, version: str = "", tuned: Tuned | None = None
    ) -> Emitter:
        """The walk there and back through a program: the source and tables of its gradient."""
        return GRADIENTS[program.graph.spec.dim](program, options, self.tensor_cores, version, tuned)
