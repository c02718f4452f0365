"""Emitted modules read as files do, for as long as anything of them is alive."""

from __future__ import annotations

import gc
import inspect
import linecache
import traceback

import pytest

from scatc.runtime.load import load_source

SOURCE = "def double(x):\n    # twice\n    return 2 * x\n\n\ndef fail():\n    raise KeyError('emitted')\n"


def test_a_module_runs_and_is_named_after_its_target() -> None:
    module = load_source(SOURCE, "numpy")
    assert module.double(21) == 42
    assert module.__name__.startswith("scatc_numpy_")
    assert module.double.__code__.co_filename.startswith("<scatc numpy ")


def test_tracebacks_show_the_line() -> None:
    module = load_source(SOURCE, "numpy")
    with pytest.raises(KeyError) as caught:
        module.fail()
    text = "".join(traceback.format_exception(caught.value))
    assert "<scatc numpy " in text
    assert "raise KeyError('emitted')" in text


def test_inspect_shows_the_source_even_after_checkcache() -> None:
    module = load_source(SOURCE, "numpy")
    linecache.checkcache()
    assert inspect.getsource(module) == SOURCE
    assert inspect.getsource(module.double) == "def double(x):\n    # twice\n    return 2 * x\n"


def test_a_syntax_error_names_the_text() -> None:
    with pytest.raises(SyntaxError) as caught:
        load_source("x = = 1\n", "numpy")
    assert caught.value.filename is not None
    assert caught.value.filename.startswith("<scatc numpy ")


def test_the_text_lives_as_long_as_a_function_of_it() -> None:
    first, second = load_source(SOURCE, "numpy"), load_source(SOURCE, "numpy")
    names = [first.__file__, second.__file__]
    assert names[0] is not None and names[1] is not None
    assert names[0] != names[1]
    function = first.double
    del first, second
    gc.collect()
    assert names[0] in linecache.cache
    assert names[1] not in linecache.cache
    assert inspect.getsource(function).startswith("def double")
    del function
    gc.collect()
    assert names[0] not in linecache.cache
