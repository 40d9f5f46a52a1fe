"""Two ways to show the progress of steps: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from infra.local.steps import Display, Progress


def for_console(console: Console) -> Display:
    """The live table when a person watches, lines when a log does."""
    return LiveDisplay(console) if console.is_terminal else LineDisplay(console)


def duration(seconds: float) -> str:
    """`8s`, `3m05s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


class LineDisplay:
    """One line when a step starts that takes a while, one when it ends; a heartbeat each half minute."""

    _HEARTBEAT_SECONDS = 30.0

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: list[Progress] = []
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._reported: set[str] = set()
        self._lock = threading.Lock()

    def begin(self, progress: list[Progress]) -> None:
        self._progress, self._began = progress, time.monotonic()
        threading.Thread(target=self._beat, daemon=True).start()

    def changed(self, progress: Progress) -> None:
        if progress.ended is None:
            return
        with self._lock:
            if progress.step.name in self._reported:
                return
            self._reported.add(progress.step.name)
        verdict = "FAILED" if progress.error else ("done" if progress.changed else "unchanged")
        self._line(f"{progress.step.title}: {verdict}, {duration(progress.seconds)}")

    def end(self) -> None:
        self._stop.set()

    def _line(self, text: str) -> None:
        left = sum(item.ended is None for item in self._progress)
        self._console.print(
            f"[{duration(time.monotonic() - self._began):>6}] {text} ({left} to go)", markup=False, highlight=False
        )

    def _beat(self) -> None:
        while not self._stop.wait(self._HEARTBEAT_SECONDS):
            for item in self._progress:
                if item.started is not None and item.ended is None:
                    detail = f": {item.detail}" if item.detail else ""
                    self._line(f"{item.step.title}, for {duration(item.seconds)}{detail}")


class LiveDisplay:
    """A table of what ended, runs and waits, redrawn four times a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: list[Progress] = []
        self._began = time.monotonic()
        self._live: Live | None = None
        self._spinner = Spinner("dots")

    def begin(self, progress: list[Progress]) -> None:
        self._progress, self._began = progress, time.monotonic()
        self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=4, transient=True)
        self._live.start()

    def changed(self, progress: Progress) -> None:
        if progress.ended is not None and (progress.changed or progress.error):
            mark = "[red]✗[/red]" if progress.error else "[green]✓[/green]"
            self._console.print(
                f"{mark} {progress.step.title} [dim]{duration(progress.seconds)}[/dim]", highlight=False
            )

    def end(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _render(self) -> RenderableType:
        running = [item for item in self._progress if item.started is not None and item.ended is None]
        ended = sum(item.ended is not None for item in self._progress)
        table = Table.grid(padding=(0, 1))
        for item in running:
            table.add_row(
                self._spinner, item.step.title, Text(duration(item.seconds), "cyan"), Text(item.detail[:80], "dim")
            )
        summary = f"{ended} of {len(self._progress)} steps, {duration(time.monotonic() - self._began)}"
        return Group(table, Text(summary, "dim"))
