"""The progress bar of work that takes more than a moment."""

import time
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

INTERVAL = 60.0
"""Seconds between two lines where there is no terminal for a bar."""


def bar(name: str, console: Console) -> Progress:
    """A bar that counts what is done and guesses what is left; a line a minute where the console is no terminal."""
    if not console.is_terminal:
        return _Lines(name, console)
    return Progress(
        TextColumn(f"[bold]{name}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


class _Lines(Progress):
    """The same work told in lines, as for a log."""

    def __init__(self, name: str, console: Console) -> None:
        super().__init__(console=console, disable=True)
        self._name = name
        self._said = time.monotonic()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        self._tell(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._tell(task_id)

    def _tell(self, task_id: TaskID) -> None:
        now = time.monotonic()
        if now - self._said < INTERVAL:
            return
        self._said = now
        task = self._tasks[task_id]
        of = "" if task.total is None else f" of {task.total:,.0f}"
        left = "" if task.time_remaining is None else f", about {timedelta(seconds=round(task.time_remaining))} left"
        self.console.print(f"{self._name}: {task.completed:,.0f}{of}{left}", highlight=False, markup=False)
