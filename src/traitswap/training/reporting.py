"""What a run says while it goes: one JSON line a report, TensorBoard if installed, a progress bar."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from traitswap import ranks
from traitswap.files import written_whole

LOG_NAME = "log.jsonl"


class Reporter:
    """Use as a context manager. On a terminal reports move the bar's text; elsewhere each is a line of its own.

    Of several processes (`ranks`) only the first writes; the console of the others is to be quiet.
    """

    def __init__(self, run: Path, images_seen: int, images: int, console: Console) -> None:
        self._log = run / LOG_NAME
        self._console = console
        self._writes = ranks.rank() == 0
        if self._writes:
            _drop_lines_after(self._log, images_seen)
        self._tensorboard = _tensorboard(run, images_seen) if self._writes else None
        self._progress = Progress(
            TextColumn("[bold]train"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("images"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("train", total=images, completed=images_seen, losses="")

    def __enter__(self) -> "Reporter":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if self._tensorboard:
            self._tensorboard.close()

    def advance(self, images_seen: int) -> None:
        self._progress.update(self._task, completed=images_seen)

    def losses(self, images_seen: int, values: dict[str, float], images_per_second: float) -> None:
        text = "  ".join(f"{name} {value:.3g}" for name, value in values.items())
        text = f"{images_per_second:.1f} images/s  {text}"
        self._progress.update(self._task, losses=text)
        if not self._console.is_terminal:
            self.say(f"{images_seen:>9,} images  {text}")
        self._record("train", images_seen, {**values, "images_per_second": images_per_second})

    def health(self, images_seen: int, line: str, values: dict[str, float]) -> None:
        self.say(f"[bold]{images_seen:>9,} images[/]  {line}")
        self._record("health", images_seen, values)

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def _record(self, kind: str, images_seen: int, values: dict[str, float]) -> None:
        if not self._writes:
            return
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps({"kind": kind, "images": images_seen, **values}) + "\n")
        if self._tensorboard:
            for name, value in values.items():
                self._tensorboard.add_scalar(f"{kind}/{name}", value, images_seen)


def _drop_lines_after(log: Path, images_seen: int) -> None:
    """A run that was killed has said more than its last state knows; going on says it again."""
    if not log.exists():
        return
    lines = log.read_text("utf-8").splitlines()
    kept = [line for line in lines if _images(line) <= images_seen]
    if len(kept) < len(lines):
        with written_whole(log) as fresh:
            fresh.write_text("".join(line + "\n" for line in kept), "utf-8")


def _images(line: str) -> float:
    try:
        return float(json.loads(line)["images"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _tensorboard(run: Path, images_seen: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run / "tensorboard"), purge_step=images_seen)
