"""The numpy target: vectorised numpy on CPUs, FFTs through `scipy.fft`."""

from scatc.codegen.numpy.emitter import emit
from scatc.codegen.numpy.machine import MACHINES
from scatc.codegen.numpy.memory import NumpyMemory
from scatc.codegen.numpy.tables import make_tables

__all__ = ["MACHINES", "NumpyMemory", "emit", "make_tables"]
