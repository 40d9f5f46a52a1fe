"""A graph of named steps, run as early as their needs allow, with a display of what is going on.

Compiles run one at a time, because each uses every core by itself: of those that may start, the first in the order
given. Everything else runs beside them, so that downloads overlap with compiles. A failed step lets the running ones
finish, starts no more, and its error is raised at the end: what was finished stays finished, and the next run
continues from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Protocol

from infra.errors import InterruptedWorkError
from infra.local.children import end_children


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of work. `run` gets a `say` function for one line of detail; it returns whether anything was done."""

    name: str
    title: str
    run: Callable[[Callable[[str], None]], bool]
    needs: tuple[str, ...] = ()
    compiles: bool = False


@dataclass(slots=True)
class Progress:
    """What a display knows of one step. Times are `time.monotonic()` seconds."""

    step: Step
    started: float | None = None
    ended: float | None = None
    detail: str = ""
    changed: bool = False
    error: BaseException | None = None

    @property
    def seconds(self) -> float:
        """Time spent so far, or in all once ended."""
        return 0.0 if self.started is None else (self.ended or time.monotonic()) - self.started


class Display(Protocol):
    """Shows progress; `infra.local.display` has one for terminals and one for logs."""

    def begin(self, progress: list[Progress]) -> None: ...
    def changed(self, progress: Progress) -> None: ...
    def end(self) -> None: ...


@dataclass(slots=True)
class Graph:
    """Steps in order of their needs. Unknown needs and cycles are programming errors and raise at once."""

    steps: list[Step] = field(default_factory=list)

    def add(self, steps: Iterable[Step]) -> None:
        """Append steps; names must be new."""
        known = {step.name for step in self.steps}
        for step in steps:
            if step.name in known:
                raise ValueError(f"two steps are called {step.name}")
            known.add(step.name)
            self.steps.append(step)

    def run(self, display: Display) -> list[Progress]:
        """Run every step; raises the first error once the running steps have ended."""
        progress = {step.name: Progress(step) for step in self.steps}
        order = TopologicalSorter({step.name: step.needs for step in self.steps})
        if unknown := {need for step in self.steps for need in step.needs} - progress.keys():
            raise ValueError(f"needed but not defined: {', '.join(sorted(unknown))}")
        order.prepare()
        display.begin(list(progress.values()))
        try:
            _drive(order, progress, display)
        finally:
            display.end()
        for item in progress.values():
            if item.error is not None:
                raise item.error
        return list(progress.values())


def _drive(order: TopologicalSorter[str], progress: dict[str, Progress], display: Display) -> None:
    places = {name: place for place, name in enumerate(progress)}
    ready: set[str] = set()
    running: dict[Future[None], str] = {}
    failed = False
    with ThreadPoolExecutor(len(progress), thread_name_prefix="step") as pool:
        while order.is_active():
            ready |= set(order.get_ready())
            for name in [] if failed else sorted(ready, key=places.__getitem__):
                compiling = any(progress[other].step.compiles for other in running.values())
                if compiling and progress[name].step.compiles:
                    continue
                ready.discard(name)
                running[pool.submit(_work, progress[name], display)] = name
            if not running:
                return
            try:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
            except KeyboardInterrupt:
                end_children()  # the steps that wait for them fail at once, and leaving this block waits for the steps
                raise InterruptedWorkError(
                    "interrupted: what is done stays done", mend="run the same command again to continue"
                ) from None
            for future in done:
                name = running.pop(future)
                if future.exception() is None:
                    order.done(name)
                else:
                    failed = True


def _work(item: Progress, display: Display) -> None:
    def say(detail: str) -> None:
        item.detail = detail
        display.changed(item)

    item.started = time.monotonic()
    display.changed(item)
    try:
        item.changed = item.step.run(say)
        item.detail = ""
    except BaseException as error:  # kept with the step: the display and the caller both need it
        item.error = error
        raise
    finally:
        item.ended = time.monotonic()
        display.changed(item)
