"""Stub libraries load and answer, and libraries cut down to their segments still work. Real loader, real libraries."""

import ctypes
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from services.engine.cuda_stubs import NO_DEVICE, slim
from services.engine.elf import ElfError, StubLibrary, compact, read

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared objects of Linux")


def stub(folder: Path, symbols: dict[str, str | None]) -> Path:
    path = folder / "libstub.so.7"
    path.write_bytes(StubLibrary("libstub.so.7", NO_DEVICE, symbols).build())
    return path


def mapped(path: Path) -> dict[int, bytes]:
    """Address → content of everything that a loader maps from the file."""
    data = path.read_bytes()
    (table,), (size, count) = struct.unpack_from("<Q", data, 32), struct.unpack_from("<HH", data, 54)
    rows = [struct.unpack_from("<IIQQQQQQ", data, table + index * size) for index in range(count)]
    # The first page holds the file's own header, which is what changes.
    return {row[3]: data[max(row[2], 4096) : row[2] + row[5]] for row in rows if row[0] == 1}


def test_every_function_of_a_stub_returns_its_result(tmp_path):
    names = {f"cuFunction{index}": "libstub.so.7" if index % 2 else None for index in range(500)}
    library = ctypes.CDLL(str(stub(tmp_path, names)))
    assert {library[name]() for name in names} == {NO_DEVICE}
    with pytest.raises(AttributeError):
        library["cuFunction500"]


def test_a_versioned_name_is_found_under_its_version_alone(tmp_path):
    library = ctypes.CDLL(str(stub(tmp_path, {"cuInit": "CUDA_13"})))
    find = ctypes.CDLL(None).dlvsym
    find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
    assert find(library._handle, b"cuInit", b"CUDA_13"), "torch asks for the version that its linker recorded"
    assert not find(library._handle, b"cuInit", b"CUDA_12")


def test_an_extension_module_works_without_what_no_loader_maps(tmp_path):
    original = Path(msgspec._core.__file__)
    copy = tmp_path / "msgspec" / original.name
    shutil.copytree(Path(msgspec.__file__).parent, copy.parent)
    compact(copy)
    assert copy.stat().st_size < original.stat().st_size
    program = "import msgspec; print(msgspec.__file__, msgspec.json.decode(b'[1]'))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}, check=True
    )
    assert str(tmp_path) in done.stdout, "the copy is what was loaded"
    assert "[1]" in done.stdout
    assert copy.stat().st_mode == original.stat().st_mode


def test_a_section_can_be_left_out_of_the_middle(tmp_path):
    original = next(Path(np.__file__).parent.glob("_core/_multiarray_umath*.so"))
    whole, holed = tmp_path / "whole.so", tmp_path / "holed.so"
    for copy in (whole, holed):
        shutil.copy(original, copy)
    compact(whole)
    assert mapped(whole) == mapped(original), "every address keeps its content"
    compact(holed, without=".eh_frame")
    saved = whole.stat().st_size - holed.stat().st_size
    assert saved > 100_000, "the pages inside the section are gone"
    program = f"import ctypes; ctypes.CDLL({str(holed)!r}, mode=ctypes.RTLD_GLOBAL)"
    subprocess.run([sys.executable, "-c", f"import numpy; {program}"], check=True)


def test_what_is_no_library_is_refused_by_name(tmp_path):
    path = tmp_path / "libtext.so"
    path.write_text("not a library")
    with pytest.raises(ElfError, match=r"libtext.so: not a 64-bit"):
        read(path)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="makes a library that needs an absent one: gcc")
def test_a_library_loads_although_what_it_needs_is_not_there(tmp_path):
    lib = tmp_path / "torch" / "lib"
    lib.mkdir(parents=True)
    (tmp_path / "runtime.c").write_text("int cudaGetDeviceCount(int *n) { *n = 8; return 0; }\n")
    (tmp_path / "runtime.map").write_text("libcudart.so.13 { global: *; };\n")
    (tmp_path / "torch.c").write_text(
        "int cudaGetDeviceCount(int *); int count(void) { int n; return cudaGetDeviceCount(&n); }\n"
    )
    runtime, torch = lib / "libcudart.so.13", lib / "libtorch_cpu.so"
    shared = ["gcc", "-shared", "-fPIC"]
    subprocess.run(
        [*shared, "-o", runtime, tmp_path / "runtime.c", "-Wl,-soname,libcudart.so.13",
         f"-Wl,--version-script={tmp_path / 'runtime.map'}"], check=True,
    )  # fmt: skip
    subprocess.run([*shared, "-o", torch, tmp_path / "torch.c", runtime, "-Wl,-rpath,$ORIGIN"], check=True)
    runtime.unlink()
    (tmp_path / "torch" / "include").mkdir()

    slim(tmp_path)

    assert ctypes.CDLL(str(torch)).count() == NO_DEVICE, "the stub stands in for the runtime"
    assert not (tmp_path / "torch" / "include").exists(), "headers serve a compiler that the image has not"
