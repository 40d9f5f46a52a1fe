"""Make the CUDA build of PyTorch load on a machine without NVIDIA's libraries, and small.

    python3 -m services.engine.cuda_stubs SITE_PACKAGES

The package index serves torch 2.13.0 for Linux only as its CUDA build, which does not import without 2.5 GB of NVIDIA
libraries. On a CPU none of their functions is called, only their names must resolve. So those packages are not
installed at all, and libraries of the same names are written here, from torch's own lists of what it needs. Device code
and symbol tables, which nothing on a CPU reads, are cut out of the libraries that stay.

For CPU images only, never for a machine with a GPU: every NVIDIA function answers "no device".
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from services.engine.elf import ElfError, StubLibrary, compact, read

NO_DEVICE = 100
"""cudaErrorNoDevice: what torch takes from cudaGetDeviceCount as "there is no GPU", without a warning."""
GPU_ONLY = ("libtorch_cuda_linalg.so", "libcaffe2_nvrtc.so")
"""Libraries that torch opens by name when a GPU first needs them."""
COMPILE_ONLY = ("include", "bin/protoc", "bin/protoc-3.13.0.0")
"""C++ headers and tools: torch.compile needs them beside a compiler, which the image has not."""
DEVICE_CODE = ".nv_fatbin"
RUNTIME = "libcudart.so.13"
_NVIDIA_LIBRARIES = ("libcu", "libnccl", "libnv")
_NVIDIA_NAMES = ("cu", "nccl", "nvrtc", "nvshmem")
_COMPACT_FROM_BYTES = 4_000_000


def stub_libraries(torch_lib: Path) -> list[StubLibrary]:
    """The libraries to write into `torch_lib`, the folder torch/lib of an installed CUDA build without `GPU_ONLY`.

    A name with a version goes to the library that torch's linker recorded for it. Names without one (NCCL, cuFile,
    cuRAND) may come from any loaded library and go to the CUDA runtime's. Raises ElfError for an unreadable library.
    """
    libraries = [read(path) for path in sorted(torch_lib.glob("*.so*"))]
    needed = {name for library in libraries for name in library.needed if name.startswith(_NVIDIA_LIBRARIES)}
    stubs = {soname: StubLibrary(soname, NO_DEVICE) for soname in sorted(needed | {RUNTIME})}
    defined = {name for library in libraries for name in library.defined}
    for symbol in (symbol for library in libraries for symbol in library.undefined):
        if symbol.library in stubs:
            stubs[symbol.library].symbols[symbol.name] = symbol.version
        elif symbol.library is None and symbol.name.startswith(_NVIDIA_NAMES) and symbol.name not in defined:
            stubs[RUNTIME].symbols[symbol.name] = None
    return list(stubs.values())


def slim(site_packages: Path) -> int:
    """Write the stubs and cut what only a GPU, a compiler or a debugger reads. Returns the bytes saved.

    To be run once, on a fresh installation; a second run stops with ElfError and changes nothing.
    """
    before = _size(site_packages)
    torch = site_packages / "torch"
    for name in (*(f"lib/{name}" for name in GPU_ONLY), *COMPILE_ONLY):
        path = torch / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    stubs = stub_libraries(torch / "lib")
    for path in sorted(site_packages.rglob("*.so*")):
        if path.is_file() and not path.is_symlink() and path.stat().st_size >= _COMPACT_FROM_BYTES:
            compact(path, without=DEVICE_CODE)
    for stub in stubs:
        path = torch / "lib" / stub.soname
        path.write_bytes(stub.build())
        path.chmod(0o755)
    return before - _size(site_packages)


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    try:
        saved = slim(Path(sys.argv[1]))
    except ElfError as error:
        sys.exit(f"cuda_stubs: {error}")
    print(f"cuda_stubs: {saved / 1e6:.0f} MB less in {sys.argv[1]}")
