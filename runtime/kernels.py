"""Kernels to machine code without a device: what Triton compiles them to, and what that needs of a GPU."""

from __future__ import annotations

import multiprocessing
import re
import subprocess
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from types import ModuleType
from typing import Any

from scatc.codegen.triton import kernels
from scatc.codegen.triton.launch import Launch
from scatc.ir.errors import TargetError
from scatc.runtime.load import load_source


@dataclass(frozen=True, slots=True)
class Resources:
    """What a compiled kernel needs.

    Attributes
    ----------
    kernel : str
        Its name, with what it is specialised to.
    arch : str
    registers : int
        Of a thread.
    spills : int
        Bytes of stack of a thread: what did not fit the registers.
    shared : int
        Bytes of shared memory of a program.
    warps : int
    instructions : int
        In the text of the kernel (NVIDIA; else 0): without loops and branches, those that each warp issues.
    """

    kernel: str
    arch: str
    registers: int
    spills: int
    shared: int
    warps: int
    instructions: int = 0


def assembler(module: ModuleType, launches: Iterable[Launch], arch: str) -> str:
    """The machine code of kernels, as text."""
    texts = []
    for launch in once(launches):
        compiled = _compile(module, launch, arch)
        text = compiled.asm.get("amdgcn") or compiled.asm["ptx"]
        texts.append(f"// {launch.title}, {launch.warps} warps\n{text}")
    return "\n".join(texts)


def resources(module: ModuleType, launches: Iterable[Launch], arch: str) -> tuple[Resources, ...]:
    """What kernels need, as the vendor's assembler has it."""
    return tuple(_resources(_compile(module, launch, arch), launch, arch) for launch in once(launches))


def compile_all(source: str, launches: Iterable[Launch], arch: str, workers: int) -> tuple[Resources, ...]:
    """What kernels need, compiled in several processes: large transforms take Triton a minute each."""
    each = once(launches)
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs = [pool.submit(_job, source, launch, arch) for launch in each]
        return tuple(job.result() for job in jobs)


def alone(shapes: Iterable[kernels.Shape], arch: str, workers: int) -> tuple[Resources, ...]:
    """What kernels without loops need, each compiled by itself, in several processes."""
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        return tuple(pool.map(_alone, shapes, repeat(arch)))


def _alone(shape: kernels.Shape, arch: str) -> Resources:
    source = kernels.kernel_source(shape, "kernel", tensor_cores=arch.startswith("sm_"))
    launch = Launch("kernel", kernels.written(shape, "kernel").types, (), [], {}, shape.warps)
    return replace(resources(load_source(source, "triton"), [launch], arch)[0], kernel=repr(shape))


def _job(source: str, launch: Launch, arch: str) -> Resources:
    return resources(load_source(source, "triton"), [launch], arch)[0]


def once(launches: Iterable[Launch]) -> list[Launch]:
    """One launch of each specialised kernel."""
    return list({launch.title: launch for launch in launches}.values())


def target_of(arch: str) -> Any:
    """An architecture as Triton knows it."""
    from triton.backends.compiler import GPUTarget

    if found := re.fullmatch(r"sm_(\d+)", arch):
        return GPUTarget("cuda", int(found[1]), 32)
    if re.fullmatch(r"gfx\w+", arch):
        return GPUTarget("hip", arch, 64 if arch.startswith("gfx9") else 32)
    raise TargetError(f"arch={arch!r} is not possible: it must be NVIDIA's, as 'sm_90', or AMD's, as 'gfx942'")


def _compile(module: ModuleType, launch: Launch, arch: str) -> Any:
    target = target_of(arch)
    try:
        import triton
        from triton.compiler import ASTSource
    except ModuleNotFoundError as error:
        raise TargetError("machine code needs triton, which is not installed: pip install 'scatc[cuda]'") from error
    function = getattr(module, launch.kernel)
    if not hasattr(function, "arg_names"):
        raise TargetError("machine code cannot be made while TRITON_INTERPRET=1: start Python without it")
    names = list(function.arg_names)
    signature = {name: launch.types.get(name, "constexpr") for name in names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if signature[name].startswith("*")}
    source = ASTSource(fn=function, signature=signature, constexprs=dict(launch.constants), attrs=aligned)
    return triton.compile(source, target=target, options={"num_warps": launch.warps, "enable_fp_fusion": True})


def _resources(compiled: Any, launch: Launch, arch: str) -> Resources:
    shared, instructions = int(compiled.metadata.shared), 0
    if "cubin" in compiled.asm:
        registers, spills, instructions = _of_cubin(compiled.asm["cubin"])
    else:
        text = compiled.asm["amdgcn"]
        registers = int(re.search(r"\.vgpr_count:\s+(\d+)", text)[1])  # type: ignore[index]
        spills = 4 * int(re.search(r"\.vgpr_spill_count:\s+(\d+)", text)[1])  # type: ignore[index]
    return Resources(launch.title, arch, registers, spills, shared, launch.warps, instructions)


def _of_cubin(cubin: bytes) -> tuple[int, int, int]:
    """Registers of a thread, bytes of its stack, and instructions."""
    from triton.backends.nvidia import __file__ as backend

    tools = Path(backend).parent / "bin"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        usage, text = (
            subprocess.run([tools / tool, option, path], capture_output=True, text=True, check=True).stdout
            for tool, option in (("cuobjdump", "-res-usage"), ("nvdisasm", "-c"))
        )
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    assert found is not None, usage
    names = re.findall(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z]\w*)", text, re.MULTILINE)
    return int(found[1]), int(found[2]), sum(name not in ("NOP", "BRA", "EXIT") for name in names)
