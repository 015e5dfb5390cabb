"""`segscape sweep`: status of sweeps; submit, retry or cancel their jobs."""

from __future__ import annotations

import contextlib
import inspect
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from segscape.config.override_text import has_values
from segscape.errors import UserError, unknown
from segscape.paths import short
from segscape.sweep.launchers.queues import own_queue
from segscape.sweep.memory.directory import Job, SweepDirectory
from segscape.sweep.memory.status import LIVE, JobStatus, State
from segscape.sweep.run.display import Display, headline, screen, show_status
from segscape.sweep.run.progress import ProgressReader, SweepProgress, counted, shares
from segscape.sweep.run.remeasure_latency import measure_designs
from segscape.sweep.run.supervisor import Supervisor, watched
from segscape.sweep.settings import LIMITS, SweepSettings

USAGE = """
    segscape sweep status [SWEEP [JOB ...]] [--watch] [--json]
    segscape sweep retry  SWEEP [JOB ...] [--wait]
    segscape sweep resume SWEEP [JOB ...] [--wait]
    segscape sweep cancel SWEEP [JOB ...]
    segscape sweep measure SWEEP [JOB ...]

    SWEEP is a directory, or a name below runs/sweeps. JOB is an id or its beginning, a folder, a
    name, or values that choose several: fusion=add, 'fusion=add seed=2'. Without JOB all are meant.

    status  how the jobs stand; without SWEEP, how every sweep stands
    retry   submit again what failed, with today's source; what was lost goes on with its own
    resume  submit what is missing: never submitted, killed, stopped or cancelled
    cancel  take jobs out of the queue; those that run save first
    measure the latency of every design here, one by one: jobs side by side disturb each other
"""
INTERVAL_S = 2.0
_HOME = Path(SweepSettings().dir)


@dataclass(frozen=True)
class _Request:
    """What was typed after `segscape sweep`."""

    command: str
    sweep: str | None
    jobs: tuple[str, ...]
    options: frozenset[str]


def sweep(rest: Sequence[str]) -> int:
    """`segscape sweep COMMAND ...`; see `USAGE`."""
    if not rest or {"-h", "--help", "help"} & set(rest):
        print(f"usage:\n{inspect.cleandoc(USAGE)}")
        return 0
    asked = _read(rest)
    if asked.sweep is None:
        return _status_of_all("--json" in asked.options)
    found = find(asked.sweep)
    jobs = choose(found, asked.jobs)
    run, _ = _COMMANDS[asked.command]
    return run(found, jobs, asked)


def _read(rest: Sequence[str]) -> _Request:
    command, *others = rest
    if command not in _COMMANDS:
        raise unknown(
            f"there is no command 'sweep {command}'",
            command,
            _COMMANDS,
            typed="segscape sweep {}",
            label="commands",
        )
    words = [text for text in others if not text.startswith("-")]
    options = [text for text in others if text.startswith("-")]
    for text in options:
        known = _COMMANDS[command][1]
        if text not in known:
            what = f"segscape sweep {command} has no option {text}"
            raise unknown(what, text, known, label="it takes")
    if {"--watch", "--json"} <= set(options):
        raise UserError("--watch is for people, --json for programs", "give one of them")
    if not words and (command != "status" or "--watch" in options):
        raise UserError(
            f"segscape sweep {command} needs a sweep", f"there are: {', '.join(_names()) or 'none'}"
        )
    return _Request(command, words[0] if words else None, tuple(words[1:]), frozenset(options))


def find(text: str) -> SweepDirectory:
    """The sweep at this path, or of this name below runs/sweeps.

    Raises:
        UserError: there is none.
    """
    for path in (Path(text), _HOME / text):
        if (found := SweepDirectory(path)).exists():
            return found
    what = "holds no sweep" if Path(text).is_dir() else "there is no such sweep"
    raise unknown(f"{text}: {what}", Path(text).name, _names(), label=f"in {_HOME}")


def choose(sweep: SweepDirectory, texts: Sequence[str]) -> list[Job]:
    """The jobs that are named, in the order of the manifest; without a name all.

    Raises:
        UserError: no job has that name.
    """
    jobs = sweep.jobs()
    if not texts:
        return jobs
    wanted: set[str] = set()
    for text in texts:
        same = [job for job in jobs if text in (job.id, job.folder, job.name)]
        same = same or [job for job in jobs if has_values(text, job.choices, job.varied)]
        wanted |= {job.id for job in same} if same else {sweep.job(text).id}
    return [job for job in jobs if job.id in wanted]


def _names() -> list[str]:
    return sorted(file.parent.name for file in _HOME.glob("*/manifest.json"))


def _supervisor(sweep: SweepDirectory, jobs: Sequence[Job]) -> Supervisor:
    """Work on a sweep with the queue and the limits that it was begun with."""
    kept = sweep.read_description().get("settings") or {}
    limits = {key: kept[key] for key in LIMITS if key in kept}
    return Supervisor(sweep, own_queue(sweep), SweepSettings(**limits), jobs)


def _need_queue(sweep: SweepDirectory) -> None:
    if not sweep.read_description().get("launcher"):
        raise UserError(
            f"{sweep.name} was run by a third-party launcher: it has no queue",
            "run its command again: what is done is left out",
        )


# -- status ----------------------------------------------------------------------------------------


def _status(sweep: SweepDirectory, jobs: Sequence[Job], asked: _Request) -> int:
    supervisor = _supervisor(sweep, jobs)
    if "--watch" in asked.options:
        return _watch(supervisor)
    progress = ProgressReader(sweep).read(supervisor.statuses(), supervisor.queue.slots)
    if "--json" in asked.options:
        description = sweep.read_description()
        data = {
            "name": sweep.name,
            "path": str(sweep.path),
            **{key: description.get(key) for key in ("created", "command", "launcher")},
            "counts": {str(state): number for state, number in progress.counts.items()},
            "seconds_left": progress.seconds_left,
            "jobs": [one.plain() for one in progress.jobs],
        }
        print(json.dumps(data, indent=2))
        return 0
    show_status(progress, screen())
    return 0


def _watch(supervisor: Supervisor) -> int:
    """Show the jobs until none runs; nothing is submitted."""
    with (
        contextlib.suppress(KeyboardInterrupt),
        Display(supervisor.sweep, supervisor.queue.slots) as show,
    ):
        while True:
            found = supervisor.statuses()
            show(found)
            if not any(one.state in LIVE for one in found):
                break
            time.sleep(INTERVAL_S)
    return 0


def _status_of_all(as_json: bool) -> int:
    found: dict[str, SweepProgress | str] = {}
    for name in _names():
        sweep = find(str(_HOME / name))
        try:
            supervisor = _supervisor(sweep, sweep.jobs())
            found[name] = ProgressReader(sweep).read(supervisor.statuses(), supervisor.queue.slots)
        except UserError as error:  # one that is damaged does not hide the others
            found[name] = error.what
    if as_json:
        data = {
            name: {"error": progress}
            if isinstance(progress, str)
            else {str(state): number for state, number in progress.counts.items()}
            for name, progress in found.items()
        }
        print(json.dumps(data, indent=2))
        return 0
    if not found:
        print(f"no sweeps in {_HOME}")
    width = max(map(len, found), default=0)
    for name, progress in found.items():
        words = f"error: {progress}" if isinstance(progress, str) else headline(progress)
        print(f"{name:<{width}}  {words}")
    return 0


# -- retry, resume, cancel -------------------------------------------------------------------------


def _retry(sweep: SweepDirectory, jobs: Sequence[Job], asked: _Request) -> int:
    _need_queue(sweep)
    found = _supervisor(sweep, jobs).statuses()
    if asked.jobs:
        for one in found:
            _refuse_live(one)
        wanted = [one for one in found if one.state is not State.FINISHED]
    else:
        again = (State.FAILED, State.LOST, State.STOPPED)
        wanted = [one for one in found if one.state in again]
    if not wanted:
        print(f"nothing has failed: {shares(counted(found))}")
        return 0
    return _submit(sweep, wanted, asked)


def _resume(sweep: SweepDirectory, jobs: Sequence[Job], asked: _Request) -> int:
    _need_queue(sweep)
    supervisor = _supervisor(sweep, jobs)
    found = supervisor.statuses()
    missing = {State.WAITING, State.LOST, State.STOPPED, State.CANCELLED}
    if asked.jobs:
        missing.add(State.PRUNED)
    wanted = [one for one in found if one.state in missing]
    failed = [one for one in found if one.state is State.FAILED]
    if failed:
        print(f"left out: {len(failed)} failed (segscape sweep retry {short(sweep.path)})")
    supervisor.wake(found)
    if not wanted and "--wait" not in asked.options:
        print(f"nothing is missing: {shares(counted(found))}")
        return 0
    return _submit(sweep, wanted, asked)


def _submit(sweep: SweepDirectory, wanted: Sequence[JobStatus], asked: _Request) -> int:
    whole = [one for one in wanted if sweep.saved(one.job)]
    if len(whole) < len(wanted):
        gone = ", ".join(one.job.name for one in wanted if one not in whole)
        raise UserError(
            f"the directory of {gone} is gone, and with it the saved configuration",
            "run the command of the sweep again: it makes another",
        )
    supervisor = _supervisor(sweep, [one.job for one in wanted])
    submitted = supervisor.submit_due(retry=[one.job.id for one in wanted])
    for job in submitted:
        print(f"submitted  {job.name}")
    print(f"{len(submitted)} submitted ({supervisor.queue.name})")
    if _is_search(sweep):
        print("  the search itself goes on with its own command only")
    if "--wait" not in asked.options:
        print(f"  segscape sweep status {short(sweep.path)} --watch")
        return 0

    # The wait is for the whole sweep: what is lost meanwhile is started again.
    return watched(_supervisor(sweep, [job for job in sweep.jobs() if sweep.saved(job)]))


def _cancel(sweep: SweepDirectory, jobs: Sequence[Job], asked: _Request) -> int:
    _need_queue(sweep)
    with sweep.lock():
        searched = not asked.jobs and _end_searches(sweep)
        if searched:
            jobs = sweep.jobs()  # also those that a search has drawn meanwhile
        supervisor = _supervisor(sweep, jobs)
        cancelled = supervisor.cancel(jobs)
    for job in cancelled:
        print(f"cancelled  {job.name}")
    if not cancelled:
        print(f"nothing to cancel: {shares(counted(supervisor.statuses()))}")
    if searched:
        print("the search ends where it runs; its own command goes on with it")
    if searched or not cancelled:
        return 0
    print(
        f"{len(cancelled)} cancelled; those that run save first\n"
        f"  segscape sweep resume {short(sweep.path)} goes on with them"
    )
    return 0


def _is_search(sweep: SweepDirectory) -> bool:
    return "objectives" in (sweep.read_description().get("settings") or {})


def _end_searches(sweep: SweepDirectory) -> bool:
    """End the searchers of a sweep, which would draw other jobs. Whether there may be any."""
    if not _is_search(sweep):
        return False
    sweep.describe({"cancelled": time.time()})
    return True


def _measure(sweep: SweepDirectory, jobs: Sequence[Job], asked: _Request) -> int:
    number = measure_designs(sweep, _supervisor(sweep, jobs).statuses())
    print(f"{number} designs measured; segscape report {short(sweep.path)} shows them")
    return 0


def _refuse_live(one: JobStatus) -> None:
    if one.state in LIVE or one.state is State.FINISHED:
        what = "has finished" if one.state is State.FINISHED else f"is {one.state}"
        raise UserError(
            f"{one.job.name} {what}: there is nothing to try again",
            "without JOB, all that went wrong is tried again",
        )


# command -> what it does, its options
_COMMANDS: dict[
    str, tuple[Callable[[SweepDirectory, Sequence[Job], _Request], int], tuple[str, ...]]
] = {
    "status": (_status, ("--watch", "--json")),
    "retry": (_retry, ("--wait",)),
    "resume": (_resume, ("--wait",)),
    "cancel": (_cancel, ()),
    "measure": (_measure, ()),
}
