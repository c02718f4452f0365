"""The command line: what it prints, and which exit code each kind of trouble has."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from native import needs_compiler

import scatc
from scatc import cli
from scatc.runtime import libraries
from scatc.runtime.cache import DiskCache, Entry, cache_key

SMALL = ["--shape", "64", "--J", "3"]


class Done(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run the command line in this process, with a cache of its own."""
    monkeypatch.setenv("SCATC_CACHE_DIR", str(tmp_path / "cache"))

    def call(*arguments: str) -> Done:
        code = cli.main(arguments)
        return Done(code, *capsys.readouterr())

    return call


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setitem(vars(scatc), "compile", broken)


# What is printed.


def test_version(run: Run) -> None:
    assert run("--version") == Done(0, f"scatc {scatc.__version__}\n", "")


@pytest.mark.parametrize("command", [[], ["inspect"], ["cache"], ["cache", "verify"], ["demo"]])
def test_help(run: Run, command: list[str]) -> None:
    done = run(*command, "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"usage: {' '.join(['scatc', *command])}")


@pytest.mark.parametrize("what", ["ir", "schedule", "source"])
def test_a_section_alone_is_printed_bare(run: Run, what: str) -> None:
    plan = scatc.compile(scatc.Spec(dim=1, shape=64, J=3), workers=1)
    done = run("inspect", *SMALL, "--workers", "1", "--show", what)
    assert done == Done(0, getattr(plan, what)().rstrip("\n") + "\n", "")


def test_the_report_is_the_default(run: Run) -> None:
    done = run("inspect", *SMALL)
    assert done.code == 0
    assert done.out.startswith("spec      Spec(dim=1, shape=(64,), J=3")
    assert "memory" in done.out


def test_source_runs(run: Run) -> None:
    compile(run("inspect", *SMALL, "--show", "source").out, "source", "exec")


def test_graph_is_the_scattering_graph_of_the_selected_paths(run: Run) -> None:
    done = run("inspect", *SMALL, "--select-order", "1", "--show", "graph")
    spec = scatc.Spec(dim=1, shape=64, J=3)
    assert done.out.startswith(f"graph {spec.to_json()}\n")
    assert "U_0 = modulus" in done.out
    assert "out_0 = output" in done.out
    assert "out0" not in done.out
    assert "out_0_1" not in done.out


def test_dot_is_graphviz(run: Run) -> None:
    assert run("inspect", *SMALL, "--show", "dot").out.startswith("digraph")


def test_several_sections_have_headings(run: Run) -> None:
    done = run("inspect", *SMALL, "--show", "spec", "paths", "spec")
    headings = [line for line in done.out.splitlines() if line.startswith("== ")]
    assert headings == ["== spec ==", "== paths =="]


def test_all_is_everything_but_dot(run: Run) -> None:
    done = run("inspect", *SMALL, "--show", "all")
    for section in cli.SECTIONS:
        assert (f"== {section} ==\n" in done.out) == (section != "dot")


def test_paths_are_a_table_in_hertz(run: Run) -> None:
    done = run("inspect", *SMALL, "--show", "paths", "--sampling-rate", "1000")
    header, *rows = done.out.splitlines()
    meta = scatc.compile(scatc.Spec(dim=1, shape=64, J=3)).meta(1000)
    assert header.split() == ["row", "order", "path", "j", "xi", "sigma"]
    assert rows[0].split() == ["0", "0"]
    assert len(rows) == len(meta)
    last, row = rows[-1].split(), meta[-1]
    assert last[:3] == [str(row.row), "2", ",".join(map(str, row.path))]
    assert [float(xi) for xi in last[4].split(",")] == pytest.approx(row.xi, rel=1e-3)


def test_paths_show_angles_in_2d_and_degrees_in_3d(run: Run) -> None:
    flat = run("inspect", "--shape", "16x16", "--J", "2", "--L", "2", "--show", "paths").out
    assert "theta" in flat.splitlines()[0].split()
    solid = run("inspect", "--shape", "8x8x8", "--J", "1", "--L", "1", "--show", "paths").out
    assert solid.splitlines()[0].split()[:5] == ["row", "order", "path", "j", "l"]


def test_compile_options_arrive(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def compile_(spec: scatc.Spec, target: str, **options: Any) -> scatc.Plan:
        seen.update(options, spec=spec, target=target)
        return original(spec)

    original = scatc.compile
    monkeypatch.setitem(vars(scatc), "compile", compile_)
    options = ["--dtype", "float64", "--memory-limit", "1.5MiB", "--workers", "2", "--no-cache", "--target", "numpy"]
    assert run("inspect", *SMALL, *options, "--select-order", "0", "2").code == 0
    select = seen.pop("select")
    rows = original(seen["spec"]).meta()
    assert {row.order for row in rows if select(row)} == {0, 2}
    assert seen == {
        "spec": scatc.Spec(dim=1, shape=64, J=3),
        "target": "numpy",
        "dtype": "float64",
        "memory_limit": 3 << 19,
        "workers": 2,
        "cache": False,
    }


@pytest.mark.parametrize(
    ("options", "spec"),
    [
        (["--shape", "64", "--J", "3", "--Q", "4", "2", "--T", "global"], {"dim": 1, "Q": (4, 2), "T": "global"}),
        (["--shape", "64", "--J", "3", "--T", "none", "--order", "1"], {"dim": 1, "T": 0, "order": 1}),
        (["--shape", "64", "--J", "3", "--T", "12.5", "--stride", "4"], {"dim": 1, "T": 12.5, "stride": 4}),
        (["--shape", "32,64", "--J", "3", "--L", "4", "--padding", "zero", "--pre-pad"],
         {"dim": 2, "shape": (32, 64), "L": 4, "padding": "zero", "pre_pad": True}),
        (["--dim", "3", "--shape", "8x8x8", "--J", "1", "--sigma-0", "1.5", "--no-rotation-covariant",
          "--integral-powers", "1", "2"],
         {"dim": 3, "shape": (8, 8, 8), "J": 1, "sigma_0": 1.5, "rotation_covariant": False,
          "integral_powers": (1.0, 2.0)}),
    ],
)  # fmt: skip
def test_every_field_of_a_spec_has_an_option(run: Run, options: list[str], spec: dict[str, Any]) -> None:
    expected = scatc.Spec(**{"shape": 64, "J": 3, **spec})
    done = run("inspect", *options, "--show", "spec")
    assert done == Done(0, expected.to_json() + "\n", "")


def test_a_spec_goes_out_as_json_and_comes_back(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = run("inspect", *SMALL, "--Q", "4", "--show", "spec").out
    file = tmp_path / "spec.json"
    file.write_text(text)
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    for source in (str(file), "-", text):
        assert run("inspect", "--json", source, "--show", "spec") == Done(0, text, "")


def test_a_compiled_transform_is_in_the_cache_afterwards(run: Run) -> None:
    assert run("inspect", "--shape", "68", "--J", "2").code == 0
    info = json.loads(run("cache", "info", "--json").out)
    assert info["entries"] == 1
    assert run("inspect", "--shape", "72", "--J", "2", "--no-cache").code == 0
    assert json.loads(run("cache", "info", "--json").out)["entries"] == 1


# What goes wrong.


def assert_error(done: Done, code: int, *words: str) -> None:
    assert done.code == code
    assert done.out == ""
    assert done.err.startswith("scatc: error: ")
    assert done.err.count("\n") == 1
    for word in words:
        assert word in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["COMMAND", "scatc --help"]),
        (["inspekt"], ["inspekt"]),
        (["inspect"], ["--shape and --J", "--shape is missing"]),
        (["inspect", "--shape", "64"], ["--J is missing"]),
        (["inspect", "--shape", "12by12", "--J", "2"], ["--shape", "'12by12' is not a shape", "64x64"]),
        (["inspect", *SMALL, "--T", "often"], ["'often'", "'global' or 'none'"]),
        (["inspect", *SMALL, "--J", "x"], ["--J", "'x'"]),
        (["inspect", *SMALL, "--memory-limit", "lots"], ["'lots' is not a size"]),
        (["inspect", *SMALL, "--show", "everything"], ["'everything'", "schedule"]),
        (["inspect", *SMALL, "--json", "{}"], ["--json states the whole transform", "--shape"]),
        (["inspect", "--json", "{}"], ["dim, shape, J is missing"]),
        (["inspect", "--json", "/nowhere/spec.json"], ["cannot read '/nowhere/spec.json'"]),
        (["inspect", "--shape", "64", "--J", "30"], ["J=30", "nearest that works is 7"]),
        (["inspect", "--shape", "64", "--J", "3", "--L", "4"], ["L=4", "no meaning in 1D"]),
        (["inspect", "--json", "[1]"], ["json='[1]' is not possible", "JSON object"]),
        (["inspect", "--json", '"spec"'], ["is not possible", "JSON object"]),
        *(
            (["inspect", *SMALL, "--show", "paths", f"--sampling-rate={rate}"], [f"'{rate}' is not a rate", "above 0"])
            for rate in ("0", "-1", "nan", "inf", "fast")
        ),
        (["cache"], ["COMMAND", "scatc cache --help"]),
    ],
)
def test_wrong_usage_and_impossible_specs_are_2(run: Run, arguments: list[str], words: list[str]) -> None:
    assert_error(run(*arguments), 2, *words)


@pytest.mark.parametrize("variable", ["SCATC_FFT", "SCATC_WORKERS"])
def test_a_wrong_environment_variable_is_2(run: Run, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "foo")
    assert_error(run("inspect", *SMALL), 2, f"{variable}='foo' is not possible")


@pytest.mark.skipif(os.name != "posix", reason="needs a shell that closes files")
@pytest.mark.parametrize(
    ("command", "words"),
    [("inspect --shape 64 --J 3 >&-", "standard output is closed"), ("--help >&-", "standard output is closed"),
     ("inspect --json - <&-", "--json -: standard input is closed")],
)  # fmt: skip
def test_closed_files_are_2(command: str, words: str) -> None:
    shell = ["sh", "-c", f'"$0" -m scatc {command}', sys.executable]
    done = subprocess.run(shell, check=False, capture_output=True, text=True, timeout=120)
    assert_error(Done(done.returncode, done.stdout, done.stderr), 2, words)


def test_nowhere_to_complain(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert run("inspect", "--json", "[1]") == Done(2, "", "")


def test_a_file_that_is_not_text_is_2(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    file.write_bytes(b"\xff\xfe\x00")
    assert_error(run("inspect", "--json", str(file)), 2, "cannot read")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--memory-limit", "1KiB"], ["memory_limit=1024"]),
        (["--dtype", "float16"], ["float16", "float32"]),
        (["--select-order", "7"], ["select", "no path"]),
        (["--workers", "0"], ["workers=0"]),
    ],
)
def test_what_cannot_be_compiled_is_3(run: Run, options: list[str], words: list[str]) -> None:
    assert_error(run("inspect", *SMALL, *options), 3, *words)


def test_too_little_memory_is_3(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, MemoryError("Unable to allocate 1 TiB"))
    assert_error(run("inspect", *SMALL), 3, "memory does not suffice", "1 TiB")


def test_an_unknown_target_is_4(run: Run) -> None:
    assert_error(run("inspect", *SMALL, "--target", "abacus"), 4, "abacus", "numpy")


def test_a_missing_package_is_4(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, ImportError("No module named 'abacus'", name="abacus"))
    assert_error(run("inspect", *SMALL), 4, "abacus", "pip install")


def test_an_interrupt_is_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    assert run("inspect", *SMALL) == Done(130, "", "scatc: error: interrupted\n")


def test_a_bug_keeps_its_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        run("inspect", *SMALL)


def test_an_error_of_several_lines_is_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, scatc.CompileError("first\n  second"))
    assert run("inspect", *SMALL).err == "scatc: error: first second\n"


@pytest.mark.filterwarnings("default::RuntimeWarning")  # the suite makes them errors
def test_warnings_are_one_line(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCATC_CACHE_DIR", str(tmp_path / "file" / "cache"))
    before = warnings.showwarning
    done = run("inspect", "--shape", "76", "--J", "2")
    assert done.code == 0
    assert done.err.startswith("scatc: warning: scatc goes on without its disk cache")
    assert done.err.count("\n") == 1
    assert warnings.showwarning is before


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("0", 0), ("4096", 4096), ("64MiB", 64 << 20), ("64 mib", 64 << 20), ("1.5GiB", 3 << 29), ("2KB", 2000),
     ("3G", 3_000_000_000), ("10B", 10), ("1TiB", 1 << 40)],
)  # fmt: skip
def test_sizes(text: str, bytes_: int) -> None:
    assert cli._size(text) == bytes_


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (3 << 29, "1.5 GiB"), (1 << 60, "1048576.0 TiB")],
)
def test_human_sizes(count: int, text: str) -> None:
    assert cli._human(count) == text


# The cache.


@pytest.fixture
def damaged(run: Run) -> str:
    """Two entries, of which the one returned is damaged."""
    disk = DiskCache()
    keys = [cache_key(number=number) for number in range(2)]
    for key in keys:
        assert disk.store(key, Entry({"text": "some"}, {"array": np.arange(9.0)}))
    path = disk.folder / f"{keys[1]}.scatc"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return keys[1]


def test_cache_info(run: Run, damaged: str, tmp_path: Path) -> None:
    done = run("cache", "info")
    assert done.code == 0
    assert str(tmp_path / "cache") in done.out
    assert "entries    2\n" in done.out
    assert "of at most 1.0 GiB" in done.out
    assert "libraries  0, 0 bytes of at most 256.0 MiB\n" in done.out
    info = json.loads(run("cache", "info", "--json").out)
    assert info.keys() == {"folder", "entries", "bytes", "max_bytes", "problem", "libraries", "library_bytes"}
    assert (info["folder"], info["entries"], info["problem"]) == (str(tmp_path / "cache"), 2, None)


@needs_compiler
def test_libraries_of_c_code_are_counted_checked_and_cleared(run: Run) -> None:
    libraries.load("int number(void) { return 5; }\n")
    info = json.loads(run("cache", "info", "--json").out)
    assert (info["entries"], info["libraries"]) == (0, 1)
    ((name, trouble),) = libraries.verify()
    assert trouble is None
    assert info["library_bytes"] == (DiskCache().folder / "libraries" / name).stat().st_size
    assert run("cache", "verify").out == "1 entry read, 0 damaged\n"
    damaged = DiskCache().folder / "libraries" / name
    damaged.unlink()  # it is loaded: without its bytes, this process would end by a bus error
    damaged.write_bytes(b"")
    done = run("cache", "verify")
    assert (done.code, done.out.splitlines()[-1]) == (1, "1 entry read, 1 damaged")
    assert done.out.startswith(f"damaged  {name}: ")
    assert run("cache", "clear").out.startswith("1 entry removed from ")
    assert libraries.info() == (0, 0)


def test_cache_verify_finds_damage(run: Run, damaged: str) -> None:
    done = run("cache", "verify")
    assert done.code == 1
    assert f"damaged  {damaged}: " in done.out
    assert done.out.endswith("2 entries read, 1 damaged\n")
    report = json.loads(run("cache", "verify", "--json").out)
    assert report["entries"] == 2
    assert list(report["damaged"]) == [damaged]
    assert DiskCache().info().entries == 2, "verifying changes nothing"


def test_cache_clear(run: Run, damaged: str) -> None:
    done = run("cache", "clear")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("2 entries removed from ")
    assert json.loads(run("cache", "clear", "--json").out) == {
        "folder": str(DiskCache().folder),
        "removed": 0,
        "left": 0,
    }
    assert run("cache", "verify") == Done(0, "0 entries read, 0 damaged\n", "")


def test_cache_clear_says_what_it_could_not_remove(run: Run, damaged: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EPERM, "not permitted", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    done = run("cache", "clear")
    assert done.code == 1
    assert done.err == "scatc: error: 2 entries could not be removed\n"


def test_a_cache_that_is_off_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCATC_NO_CACHE", "1")
    info = run("cache", "info")
    assert info.code == 0
    assert "not in use: SCATC_NO_CACHE is set" in info.out
    assert run("cache", "verify").code == 1
    clear = run("cache", "clear")
    assert (clear.code, clear.err) == (1, "scatc: error: SCATC_NO_CACHE is set\n")


# As a process.


def process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-m", "scatc", *arguments]
    return subprocess.run(
        command, env=environment, text=True, stderr=subprocess.PIPE, timeout=300, check=False, **options
    )


def test_python_m_scatc(tmp_path: Path) -> None:
    done = process("inspect", "--shape", "64", "--J", "30", cwd=tmp_path, stdout=subprocess.PIPE)
    assert_error(Done(done.returncode, done.stdout, done.stderr), 2, "J=30")


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    """As in ``scatc inspect ... | head``; the reader is gone before the first line here."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = process("inspect", *SMALL, "--show", "all", cwd=tmp_path, stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (cli.NO_READER, "")


def test_the_demo_folder_may_be_impossible(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("pywt")
    pytest.importorskip("sklearn")
    file = tmp_path / "file"
    file.write_text("")
    assert_error(run("demo", "--output", str(file / "folder")), 2, str(file))
