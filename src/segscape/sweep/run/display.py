"""What is printed of a sweep: a live table, or lines where no terminal is."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from time import monotonic
from types import TracebackType
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from segscape.paths import short
from segscape.sweep.memory.directory import SweepDirectory
from segscape.sweep.memory.status import JobStatus, State
from segscape.sweep.run.progress import BROKEN, JobProgress, ProgressReader, SweepProgress, shares

LINE_SECONDS = 30.0
# Wide enough for names and causes where nothing wraps: files and pipes.
_PLAIN_WIDTH = 160
_FAILURES, _LAST_TABLE = 3, 40
_STYLES = {
    State.RUNNING: "cyan",
    State.FINISHED: "green",
    State.FAILED: "bold red",
    State.LOST: "red",
    State.STOPPED: "yellow",
    State.CANCELLED: "dim",
    State.PRUNED: "dim",
}
_EVENTS = (State.FINISHED, State.STOPPED, State.CANCELLED, State.PRUNED, *BROKEN)


class Display:
    """Shows a sweep for as long as the block runs: a live table, or lines where no terminal is.

    Its end, by Ctrl-C too, does not affect the jobs.

        with Display(sweep) as show:
            supervisor.wait(show)

    Args:
        sweep: which.
        slots: how many jobs run at once, for the time that is left; None: as many as run now.
        console: where to show; standard output by default.
        line_seconds: between two lines about the whole, where no terminal is.
    """

    def __init__(
        self,
        sweep: SweepDirectory,
        slots: int | None = None,
        console: Console | None = None,
        line_seconds: float = LINE_SECONDS,
    ) -> None:
        self.sweep, self.slots, self.line_seconds = sweep, slots, line_seconds
        self.console = console or screen()
        self._reader = ProgressReader(sweep)
        self._seen: dict[str, tuple[State, int]] = {}
        self._progress: SweepProgress | None = None
        self._headline: tuple[float, str] | None = None
        # Drawn when there is something new: no thread takes time from jobs on a small machine.
        self._live = (
            Live(console=self.console, auto_refresh=False, transient=True)
            if self.console.is_terminal
            else None
        )

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
        if isinstance(error, KeyboardInterrupt):
            place = short(self.sweep.path)
            _print(
                self.console,
                f"the jobs go on; the same command again waits for them\n"
                f"  look again: segscape sweep status {place} --watch\n"
                f"  stop them:  segscape sweep cancel {place}",
            )
        elif error is None and self._progress is not None:
            show_end(self.sweep, self._progress, self.console)

    def __call__(self, statuses: Sequence[JobStatus]) -> None:
        """Show the status of each job, and print what has changed since the last call."""
        progress = self._progress = self._reader.read(statuses, self.slots)
        for line in self._news(progress):
            _print(self.console, line)
        if self._live is not None:
            view = live_view(self.sweep.name, progress, self.console.height)
            self._live.update(view, refresh=True)
            return
        whole, now = headline(progress), monotonic()
        if self._headline is None or (
            now - self._headline[0] >= self.line_seconds and whole != self._headline[1]
        ):
            _print(self.console, whole)
            self._headline = (now, whole)

    def _news(self, progress: SweepProgress) -> Iterable[Text]:
        """A line for each job that has changed; in the first call only for what went wrong."""
        first = not self._seen
        for one in progress.jobs:
            status = one.status
            before = self._seen.get(status.job.id)
            now = self._seen[status.job.id] = (status.state, status.attempts)
            if now == before:
                continue
            if status.state in BROKEN or (status.state in _EVENTS and not first):
                yield from _event(one)
            elif before is not None and status.attempts > max(before[1], 1):
                yield _again(status)
            elif status.state is State.RUNNING and not first and self._live is None:
                yield from _event(one)


def _print(console: Console, line: Text | str) -> None:
    # Never wrapped: one event, one line.
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def screen() -> Console:
    """Standard output: the terminal's width, or room for whole lines."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PLAIN_WIDTH
    return console


def show_end(
    sweep: SweepDirectory, progress: SweepProgress, console: Console, again: str | None = None
) -> None:
    """The end of a sweep: every job of a small one, what went wrong, where to go from here.

    Args:
        sweep: that has ended.
        progress: of its jobs.
        console: where to show.
        again: what runs the jobs that went wrong again; by default `segscape sweep retry`.
    """
    show_status(progress, console, listed=len(progress.jobs) <= _LAST_TABLE)
    words = f"report: segscape report {short(sweep.path)}"
    if progress.broken:
        words += f"\nagain:  {again or f'segscape sweep retry {short(sweep.path)}'}"
    _print(console, words)


def show_status(progress: SweepProgress, console: Console, listed: bool = True) -> None:
    """Every job if they are to be listed, what went wrong, how many of each state."""
    if listed:
        console.print(table(progress.jobs))
    for line in failures(progress.broken):
        _print(console, line)
    _print(console, headline(progress))


def table(jobs: Sequence[JobProgress], one_line: bool = False) -> Table:
    """Jobs, a row each; long names take several lines, or are cut where each has one line."""
    found = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    found.add_column("job", overflow="ellipsis" if one_line else "fold", no_wrap=one_line)
    for name in ("state", "epoch", "best mIoU", "p50 ms", "left", "note"):
        right = name not in ("state", "note")
        found.add_column(
            name, justify="right" if right else "left", no_wrap=one_line or name != "note"
        )
    for one in jobs:
        status = one.status
        note = status.cause if status.state not in BROKEN else ""
        if status.attempts > 1:
            note = f"{note or ''} attempt {status.attempts}".strip()
        found.add_row(
            Text(status.job.name),
            Text(str(status.state), _STYLES.get(status.state, "")),
            one.where,
            _figure(one.best, 4),
            _figure(one.latency, 2),
            "" if one.seconds_left is None else clock(one.seconds_left),
            Text(note or "", "dim"),
        )
    return found


def failures(jobs: Sequence[JobProgress]) -> list[Text]:
    """Two lines for each job that went wrong: the cause, and where its log is."""
    return [line for one in jobs for line in _event(one)]


def live_view(name: str, progress: SweepProgress, height: int) -> RenderableType:
    """What fits a terminal: the jobs that run, and the latest failures.

    Args:
        name: of the sweep.
        progress: of its jobs.
        height: of the terminal, in lines.
    """
    room = max(height - 8 - 2 * _FAILURES, 3)
    running = [one for one in progress.jobs if one.status.state is State.RUNNING]
    lines: list[Any] = [Text(f"{name}  {headline(progress)}", "bold")]
    if running:
        lines.append(table(running[:room], one_line=True))
    if len(running) > room:
        lines.append(Text(f"and {len(running) - room} more that run", "dim"))
    latest = failures(progress.broken[-_FAILURES:])
    for line in latest:
        # Cut to the screen here; the whole of it was printed when it happened.
        line.no_wrap, line.overflow = True, "ellipsis"
    lines += [Text(), *latest] if latest else []
    lines.append(Text("Ctrl-C ends this display; the jobs go on", "dim"))
    return Group(*lines)


def headline(progress: SweepProgress) -> str:
    """How many jobs of each kind, the time that is left, and why nothing runs."""
    left = "" if progress.seconds_left is None else f"  about {clock(progress.seconds_left)} left"
    return f"{shares(progress.counts)}{left}{_why_waiting(progress)}"


def _why_waiting(progress: SweepProgress) -> str:
    """The most frequent reason to wait, where all wait: some reasons never end by waiting."""
    if State.RUNNING in progress.counts:
        return ""
    queued = [one.status for one in progress.jobs if one.status.state is State.QUEUED]
    causes = Counter(re.sub(r" \(SLURM \S+\)$", "", one.cause) for one in queued if one.cause)
    return f"  ({causes.most_common(1)[0][0]})" if causes else ""


def _event(one: JobProgress) -> list[Text]:
    status = one.status
    words = status.job.name
    if status.state is State.FINISHED:
        if one.best is not None:
            words += f"  mIoU {one.best:.4f}"
        if one.latency is not None:
            words += f"  p50 {one.latency:.2f} ms"
        if one.seconds is not None:
            words += f"  in {clock(one.seconds)}"
    elif status.cause:
        # A cause may be the message of a whole traceback: its first line is enough.
        words += f": {(status.cause.splitlines() or [''])[0]}"
    lines = [Text.assemble((f"{status.state:<10}", _STYLES.get(status.state, "")), words)]
    if status.state in BROKEN:
        lines.append(Text(f"{'':<10}log: {short(status.log)}", "dim"))
    return lines


def _again(status: JobStatus) -> Text:
    why = ""
    if status.record.get("state") == "failed" and status.record.get("error"):
        why = f" after {str(status.record['error']).splitlines()[0]}"
    words = f"{status.job.name}: attempt {status.attempts}{why}"
    return Text.assemble((f"{'again':<10}", "yellow"), words)


def _figure(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def clock(seconds: float) -> str:
    """`2:31`, `1:02:03`, `2 d 3 h`."""
    whole = round(seconds)
    if whole >= 48 * 3600:
        return f"{whole // 86400} d {whole // 3600 % 24} h"
    minutes, hours = whole // 60 % 60, whole // 3600
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
