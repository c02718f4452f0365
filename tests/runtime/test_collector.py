"""No collection of cycles while plans are made: it ends when the last of them is made, whatever happens."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator

import pytest

from scatc.runtime.collector import paused


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_nested_and_ended_by_errors() -> None:
    with paused():
        assert not gc.isenabled()
        with pytest.raises(KeyError), paused():
            raise KeyError
        assert not gc.isenabled()
    assert gc.isenabled()


def test_who_wanted_no_collector_has_none_behind_it() -> None:
    gc.disable()
    with paused():
        assert not gc.isenabled()
    assert not gc.isenabled()


def test_the_last_thread_ends_it() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with paused():
            inside.set()
            assert leave.wait(30)

    thread = threading.Thread(target=other)
    with paused():
        thread.start()
        assert inside.wait(30)
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_collects() -> None:
    with paused():
        child = os.fork()
        if child == 0:
            os._exit(0 if gc.isenabled() else 1)
    assert os.waitpid(child, 0)[1] == 0
