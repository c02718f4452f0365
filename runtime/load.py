"""From emitted source text to a module whose tracebacks, ``inspect.getsource`` and debugger show that text."""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.util
import itertools
import linecache
import types
import weakref
from pathlib import Path

from scatc.runtime.collector import paused


class _EmittedLoader(importlib.abc.ExecutionLoader):
    """Runs one emitted source text under a file name that no file has.

    It also marks how long the text is needed: functions keep their globals alive but not their module, and the
    globals hold the loader (as ``__loader__``), so the text stays readable while any function of it can still run.
    """

    def __init__(self, source: str, filename: str) -> None:
        self.source, self.filename = source, filename

    def get_source(self, fullname: str) -> str:
        return self.source

    def get_filename(self, fullname: str) -> str:
        return self.filename


def _register(source: str, title: str, file: Path | None) -> str:
    """Enter the text into `linecache` under a name of its own and return that name: the file's, unless it is taken."""
    # No modification time: linecache.checkcache then leaves the entry alone, whether there is such a file or not.
    lines = source.splitlines(keepends=True)
    for number in itertools.count(0 if file is not None else 1):
        filename = str(file) if number == 0 else f"<{title}>" if number == 1 else f"<{title} #{number}>"
        entry = (len(source), None, lines, filename)
        # setdefault is one step, so two threads never end up sharing (and later dropping) one name.
        if linecache.cache.setdefault(filename, entry) is entry:
            return filename
    raise AssertionError("unreachable: count() does not end")


def load_source(source: str, name: str, file: Path | None = None) -> types.ModuleType:
    """Execute source text in a fresh module that debuggers can show.

    Parameters
    ----------
    source : str
        Python source as a code generator emitted it. It is executed: pass nothing that was read from a file.
    name : str
        The target that it was emitted for; with a digest of the text it makes the file name seen in tracebacks,
        such as ``<scatc numpy 3fa9c1d2>``.
    file : Path, optional
        A file that holds the same text, for tools that open it: tracebacks then name it. The file is not read.

    Returns
    -------
    types.ModuleType
        The module. It is not entered into ``sys.modules``; its text leaves `linecache` when nothing of it is
        alive any more.
    """
    digest = hashlib.sha256(source.encode()).hexdigest()[:8]
    loader = _EmittedLoader(source, _register(source, f"scatc {name} {digest}", file))
    weakref.finalize(loader, linecache.cache.pop, loader.filename, None).atexit = False
    spec = importlib.util.spec_from_loader(f"scatc_{name}_{digest}", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    with paused():
        loader.exec_module(module)
    return module
