"""Reading a JSON file into a msgspec Struct with errors that name the file, the key, the value and what is allowed."""

import difflib
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
from msgspec import inspect

_SHOWN_VALUE = 100
_MAX_FILE_BYTES = 16 * 1024 * 1024

T = TypeVar("T")


class ConfigError(Exception):
    """A file that cannot be used; the message is meant for the person who wrote it."""

    def __init__(self, path: Path, key: str, value: object, allowed: str) -> None:
        shown = repr(value)
        if len(shown) > _SHOWN_VALUE:
            shown = shown[:_SHOWN_VALUE] + "…"
        super().__init__(f"{path}: `{key}` is {shown}; allowed: {allowed}")


def read_json(path: Path) -> Any:
    """The parsed file.

    Raises ConfigError if it is missing, unreadable, too large or not JSON.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(path, "(the file)", error.strerror, "a readable JSON file") from error
    if len(data) > _MAX_FILE_BYTES:
        raise ConfigError(path, "(the file)", f"{len(data)} bytes", f"at most {_MAX_FILE_BYTES} bytes")
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(path, "(the file)", str(error), "well-formed JSON") from error


def read_object(path: Path, struct: type[T]) -> T:
    """The file as a `struct`; raises ConfigError for the first thing wrong."""
    return cast(T, _check(path, "", read_json(path), struct))


def _check(path: Path, key: str, value: Any, kind: Any) -> Any:
    """Descends into structs and mappings of structs, so that a refusal can name the exact key."""
    info = inspect.type_info(kind)
    if isinstance(info, inspect.DictType) and isinstance(info.value_type, inspect.StructType):
        if not isinstance(value, dict):
            raise ConfigError(path, key or "(the file)", value, "an object")
        return {name: _check(path, f"{key}.{name}", item, info.value_type.cls) for name, item in value.items()}
    if isinstance(info, inspect.StructType):
        return _check_struct(path, key, value, info)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(path, key, value, _allowed(info)) from error


def _check_struct(path: Path, key: str, value: Any, info: inspect.StructType) -> Any:
    if not isinstance(value, dict):
        raise ConfigError(path, key or "(the file)", value, "an object")
    fields = {field.encode_name: field for field in info.fields}
    prefix = f"{key}." if key else ""
    for name in value.keys() - fields.keys():
        close = difflib.get_close_matches(name, fields, 1)
        hint = f" (did you mean `{close[0]}`?)" if close else ""
        known = ", ".join(sorted(fields))
        raise ConfigError(path, f"{prefix}{name}", value[name], f"no such key{hint}; known: {known}")
    for name, field in fields.items():
        if field.required and name not in value:
            raise ConfigError(path, f"{prefix}{name}", None, f"required; {_allowed(field.type)}")
    types = _annotations(info.cls)
    checked = {name: _check(path, f"{prefix}{name}", item, types[fields[name].name]) for name, item in value.items()}
    return info.cls(**{fields[name].name: item for name, item in checked.items()})


def _annotations(struct: type) -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(struct)}


def _allowed(info: inspect.Type) -> str:  # noqa: PLR0911
    match info:
        case inspect.UnionType(types=types):
            return " or ".join(_allowed(each) for each in types)
        case inspect.NoneType():
            return "null"
        case inspect.EnumType(cls=cls):
            return " | ".join(str(member.value) for member in cls)
        case inspect.IntType() | inspect.FloatType():
            noun = "a whole number" if isinstance(info, inspect.IntType) else "a number"
            bounds = ((">", info.gt), (">=", info.ge), ("<", info.lt), ("<=", info.le))
            return " and ".join([noun] + [f"{sign} {bound:g}" for sign, bound in bounds if bound is not None])
        case inspect.StrType(pattern=pattern):
            return f"text like {pattern}" if pattern else "text"
        case inspect.BoolType():
            return "true | false"
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return f"a list of: {_allowed(item)}"
        case _:
            return "an object"
