"""The seam between a service and its telemetry backends."""

from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

RecordT = TypeVar("RecordT")

Hook = Callable[[RecordT], None]


class Hooks(Generic[RecordT]):
    """Hands each finished record to every hook, once, in the order given.

    Fails open: a hook that raises is counted in `failures` under its name and the others still run, because no
    request may fail for the sake of being observed.
    """

    def __init__(self, **hooks: Hook[RecordT]) -> None:
        self._hooks = tuple(hooks.items())
        self.failures: Counter[str] = Counter(dict.fromkeys(hooks, 0))

    def __call__(self, record: RecordT) -> None:
        for name, hook in self._hooks:
            try:
                hook(record)
            except Exception:
                self.failures[name] += 1
