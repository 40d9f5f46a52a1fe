"""x86_64 shared objects: what one needs, one that only defines names, and one cut down to what a loader maps.

Sources: System V ABI (gABI chapters 4 and 5, AMD64 supplement), LSB symbol versioning.
Only the standard library: this runs in an image build that has no compiler and no binutils.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

PAGE = 0x1000
_EM_X86_64 = 62
_SHT_DYNAMIC, _SHT_DYNSYM, _SHT_VERNEED, _SHT_VERSYM = 6, 11, 0x6FFFFFFE, 0x6FFFFFFF
_PT_LOAD, _PT_DYNAMIC, _PT_NOTE, _PT_GNU_STACK = 1, 2, 4, 0x6474E551
_READ, _READ_EXECUTE, _READ_WRITE = 4, 5, 6
_DT_NEEDED = 1
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SYMBOL = struct.Struct("<IBBHQQ")


class ElfError(ValueError):
    """Not a 64-bit little-endian x86_64 shared object with section headers."""


class Symbol(NamedTuple):
    """A dynamic symbol. `library` and `version` say which library must define it, where the linker recorded that."""

    name: str
    library: str | None
    version: str | None


@dataclass(frozen=True, slots=True)
class SharedObject:
    """What a loader reads of a library: the libraries it needs, the names it lacks and the names it defines."""

    needed: tuple[str, ...]
    undefined: frozenset[Symbol]
    defined: frozenset[str]


class _Section(NamedTuple):
    name: str
    kind: int
    address: int
    content: memoryview
    link: int


def _sections(data: memoryview, path: Path) -> list[_Section]:
    if len(data) < _HEADER.size or bytes(data[:6]) != b"\x7fELF\x02\x01":
        raise ElfError(f"{path}: not a 64-bit little-endian ELF file")
    _, _, machine, _, _, _, table, _, _, _, _, entry, count, names_at = _HEADER.unpack_from(data)
    if machine != _EM_X86_64:
        raise ElfError(f"{path}: machine {machine}, not x86_64; the stubs' code is written for x86_64 only")
    rows = [_SECTION.unpack_from(data, table + index * entry) for index in range(count)]
    if not rows:
        raise ElfError(f"{path}: no section headers")
    names = data[rows[names_at][4] : rows[names_at][4] + rows[names_at][5]]
    return [_Section(_string(names, row[0]), row[1], row[3], data[row[4] : row[4] + row[5]], row[6]) for row in rows]


def _string(table: memoryview, offset: int) -> str:
    chunk = bytes(table[offset : offset + 4096])
    return chunk[: chunk.index(b"\0")].decode()


def read(path: Path) -> SharedObject:
    """Read the dynamic symbols of one library. Raises ElfError for anything but an x86_64 shared object."""
    sections = _sections(memoryview(path.read_bytes()), path)
    by_kind = {section.kind: section for section in sections}
    if _SHT_DYNSYM not in by_kind or _SHT_DYNAMIC not in by_kind:
        raise ElfError(f"{path}: no dynamic symbols")
    names = sections[by_kind[_SHT_DYNSYM].link].content
    versym = by_kind[_SHT_VERSYM].content if _SHT_VERSYM in by_kind else None
    origins = _version_origins(by_kind[_SHT_VERNEED].content, names) if _SHT_VERNEED in by_kind else {}
    undefined: set[Symbol] = set()
    defined: set[str] = set()
    for index, row in enumerate(_SYMBOL.iter_unpack(by_kind[_SHT_DYNSYM].content)):
        name = _string(names, row[0])
        if row[3]:
            defined.add(name)
        elif name:
            version = struct.unpack_from("<H", versym, 2 * index)[0] & 0x7FFF if versym else 0
            undefined.add(Symbol(name, *origins.get(version, (None, None))))
    dynamic = struct.iter_unpack("<QQ", by_kind[_SHT_DYNAMIC].content)
    needed = tuple(_string(names, value) for tag, value in dynamic if tag == _DT_NEEDED)
    return SharedObject(needed, frozenset(undefined), frozenset(defined))


def _version_origins(verneed: memoryview, names: memoryview) -> dict[int, tuple[str, str]]:
    """Version index → (library, version) of the GNU "version needs" section."""
    origins = {}
    at, following = 0, 1
    while following:
        _, count, library, first, following = struct.unpack_from("<HHIII", verneed, at)
        aux = at + first
        for _ in range(count):
            _, _, index, name, step = struct.unpack_from("<IHHII", verneed, aux)
            origins[index] = (_string(names, library), _string(names, name))
            aux += step
        at += following
    return origins


def compact(path: Path, without: str = "") -> None:
    """Rewrite a library so that its file holds only what a loader maps: no section headers, symbol tables, debug data.

    `without` names a section whose bytes are left out as well; its addresses stay unmapped, so nothing may read it.
    Addresses do not change, only places in the file. Raises ElfError as `read` does.
    """
    data = memoryview(path.read_bytes())
    hole = next((section for section in _sections(data, path) if section.name == without), None)
    head = list(_HEADER.unpack_from(data))
    rows = [_SEGMENT.unpack_from(data, head[5] + index * head[9]) for index in range(head[10])]
    # The build id's note gives up its row of the table to the segment that the hole splits in two.
    segments = [part for row in rows if row[0] != _PT_NOTE for part in _around(row, hole)]
    moved: list[tuple[int, int, int]] = []
    image = bytearray()
    for _, _, offset, address, _, size, _, align in (row for row in segments if row[0] == _PT_LOAD):
        image += bytes((address - len(image)) % max(align, PAGE))
        moved.append((address, size, len(image)))
        image += data[offset : offset + size]
    head[6] = head[12] = head[13] = 0
    head[10] = len(segments)
    _HEADER.pack_into(image, 0, *head)
    for index, (kind, flags, _, address, physical, size, memory, align) in enumerate(segments):
        place = next((to + address - start for start, length, to in moved if start <= address < start + length), 0)
        _SEGMENT.pack_into(image, head[5] + index * head[9], kind, flags, place, address, physical, size, memory, align)
    mode = path.stat().st_mode
    replacement = path.with_name(path.name + ".compact")
    replacement.write_bytes(image)
    replacement.chmod(mode)
    replacement.replace(path)


def _around(row: tuple[int, ...], hole: _Section | None) -> list[tuple[int, ...]]:
    """The segment itself, or its two parts before and after the whole pages of the hole."""
    kind, flags, offset, address, _, size, _, align = row
    if kind != _PT_LOAD or hole is None or not address <= hole.address < address + size:
        return [row]
    start = -(-hole.address // PAGE) * PAGE
    end = (hole.address + len(hole.content)) // PAGE * PAGE
    before, skipped = start - address, end - address
    after = size - skipped
    return [
        (kind, flags, offset, address, address, before, before, PAGE),
        (kind, flags, offset + skipped, end, end, after, row[6] - skipped, align),
    ]


@dataclass(slots=True)
class StubLibrary:
    """A library that resolves names and does nothing: every function is the same six bytes, `return result`."""

    soname: str
    result: int
    symbols: dict[str, str | None] = field(default_factory=dict)
    """Name → version, None for a name without one."""

    def build(self) -> bytes:
        """The file's content: a read-only, an executable and a writable segment; the stack stays not executable."""
        strings = _Strings()
        names = sorted(self.symbols)
        versions = sorted({version for version in self.symbols.values() if version})
        code = b"\xb8" + struct.pack("<i", self.result) + b"\xc3"  # mov eax, result; ret
        name_offsets = [strings.add(name) for name in names]
        soname, *version_offsets = [strings.add(name) for name in (self.soname, *versions)]
        definitions = list(zip((soname, *version_offsets), (self.soname, *versions), strict=True))
        indices = [versions.index(version) + 2 if (version := self.symbols[name]) else 1 for name in names]

        header = _HEADER.size + 5 * _SEGMENT.size
        parts: dict[str, bytes] = {
            "hash": _hash_table(names),
            "strings": bytes(strings.content),
            "symbols": b"",
            "versym": struct.pack(f"<{len(names) + 1}H", 0, *indices),
            "verdef": b"".join(
                struct.pack("<HHHHIIIII", 1, index == 0, index + 1, 1, _sysv_hash(name), 20, step, offset, 0)
                for index, (offset, name) in enumerate(definitions)
                for step in [28 * (index + 1 < len(definitions))]
            ),
        }
        at: dict[str, int] = {}
        end = header
        for name, content in parts.items():
            at[name] = end = -(-end // 8) * 8
            end += _SYMBOL.size * (len(names) + 1) if name == "symbols" else len(content)
        code_at = -(-end // PAGE) * PAGE
        parts["symbols"] = bytes(_SYMBOL.size) + b"".join(
            # global function, default visibility, in section 1: any index but 0, which would mean undefined
            _SYMBOL.pack(offset, 1 << 4 | 2, 0, 1, code_at, len(code))
            for offset in name_offsets
        )
        dynamic = b"".join(
            struct.pack("<QQ", tag, value)
            for tag, value in (
                (14, soname),
                (4, at["hash"]),
                (5, at["strings"]),
                (10, len(strings.content)),
                (6, at["symbols"]),
                (11, _SYMBOL.size),
                (0x6FFFFFF0, at["versym"]),
                (0x6FFFFFFC, at["verdef"]),
                (0x6FFFFFFD, len(definitions)),
                (0, 0),
            )
        )
        dynamic_at = code_at + PAGE
        image = bytearray(dynamic_at + len(dynamic))
        for name, content in parts.items():
            image[at[name] : at[name] + len(content)] = content
        image[code_at : code_at + len(code)] = code
        image[dynamic_at:] = dynamic
        identity = b"\x7fELF\x02\x01\x01"
        _HEADER.pack_into(image, 0, identity, 3, _EM_X86_64, 1, 0, _HEADER.size, 0, 0, 64, 56, 5, 64, 0, 0)
        for index, (kind, flags, start, size) in enumerate(
            (
                (_PT_LOAD, _READ, 0, end),
                (_PT_LOAD, _READ_EXECUTE, code_at, len(code)),
                (_PT_LOAD, _READ_WRITE, dynamic_at, len(dynamic)),
                (_PT_DYNAMIC, _READ_WRITE, dynamic_at, len(dynamic)),
                (_PT_GNU_STACK, _READ_WRITE, 0, 0),
            )
        ):
            row = (kind, flags, start, start, start, size, size, PAGE if kind == _PT_LOAD else 8)
            _SEGMENT.pack_into(image, _HEADER.size + index * _SEGMENT.size, *row)
        return bytes(image)


class _Strings:
    def __init__(self) -> None:
        self.content = bytearray(b"\0")

    def add(self, text: str) -> int:
        offset = len(self.content)
        self.content += text.encode() + b"\0"
        return offset


def _hash_table(names: list[str]) -> bytes:
    count = len(names) + 1
    buckets, chains = [0] * count, [0] * count
    for index, name in enumerate(names, start=1):
        bucket = _sysv_hash(name) % count
        chains[index], buckets[bucket] = buckets[bucket], index
    return struct.pack(f"<{2 + 2 * count}I", count, count, *buckets, *chains)


def _sysv_hash(name: str) -> int:
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ high >> 24) & ~high & 0xFFFFFFFF
    return value
