"""`segscape sweep`: looking after sweeps that run, and those that stopped."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segscape.errors import UserError, nearest

if TYPE_CHECKING:
    from segscape.sweep.memory.directory import Job, SweepDirectory
    from segscape.sweep.memory.status import Standing
    from segscape.sweep.run.supervisor import Campaign

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
# command -> options
_OPTIONS = {
    "status": ("--watch", "--json"),
    "retry": ("--wait",),
    "resume": ("--wait",),
    "cancel": (),
    "measure": (),
}


@dataclass(frozen=True)
class _Request:
    """What was typed behind `segscape sweep`."""

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
    run = {
        "status": _status,
        "retry": _retry,
        "resume": _resume,
        "cancel": _cancel,
        "measure": _measure,
    }
    return run[asked.command](found, jobs, asked)


def _read(rest: Sequence[str]) -> _Request:
    command, *others = rest
    if command not in _OPTIONS:
        close = nearest(command, _OPTIONS)
        hint = f"did you mean segscape sweep {close}? " if close else ""
        raise UserError(
            f"there is no command 'sweep {command}'", f"{hint}commands: {', '.join(_OPTIONS)}"
        )
    words = [text for text in others if not text.startswith("-")]
    options = [text for text in others if text.startswith("-")]
    for text in options:
        if text not in _OPTIONS[command]:
            close = nearest(text, _OPTIONS[command])
            hint = f"did you mean {close}? " if close else ""
            known = ", ".join(_OPTIONS[command]) or "no options"
            raise UserError(
                f"segscape sweep {command} has no option {text}", f"{hint}it takes {known}"
            )
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
    from segscape.sweep.memory.directory import SweepDirectory

    for path in (Path(text), _home() / text):
        if (found := SweepDirectory(path)).exists():
            return found
    names = _names()
    close = nearest(Path(text).name, names)
    hint = f"did you mean {close}? " if close else ""
    what = "holds no sweep" if Path(text).is_dir() else "there is no such sweep"
    raise UserError(f"{text}: {what}", f"{hint}in {_home()}: {', '.join(names) or 'none'}")


def choose(sweep: SweepDirectory, texts: Sequence[str]) -> list[Job]:
    """The jobs that are named, in the order of the manifest; without a name all.

    Raises:
        UserError: nothing goes by that name.
    """
    from segscape.config.override_text import has_values

    jobs = sweep.jobs()
    if not texts:
        return jobs
    wanted: set[str] = set()
    for text in texts:
        same = [job for job in jobs if text in (job.id, job.folder, job.name)]
        same = same or [job for job in jobs if has_values(text, job.choices, job.varied)]
        wanted |= {job.id for job in same} if same else {sweep.job(text).id}
    return [job for job in jobs if job.id in wanted]


def _home() -> Path:
    from segscape.sweep.settings import SweepSettings

    return Path(SweepSettings().dir)


def _names() -> list[str]:
    return sorted(file.parent.name for file in _home().glob("*/manifest.json"))


def _campaign(sweep: SweepDirectory, jobs: Sequence[Job]) -> Campaign:
    """Work on a sweep with the queue and the limits that it was begun with."""
    from segscape.sweep.memory.status import own_queue
    from segscape.sweep.run.supervisor import Campaign
    from segscape.sweep.settings import LIMITS, SweepSettings

    kept = sweep.read_description().get("settings") or {}
    limits = {key: kept[key] for key in LIMITS if key in kept}
    return Campaign(sweep, own_queue(sweep), SweepSettings(**limits), jobs)


def _need_queue(sweep: SweepDirectory) -> None:
    if not sweep.read_description().get("launcher"):
        raise UserError(
            f"{sweep.name} was run by a launcher that is not one of ours: it has no queue",
            "run its command again: what is done is left out",
        )


# -- status ----------------------------------------------------------------------------------------


def _status(sweep: SweepDirectory, jobs: Sequence[Job], asked: _Request) -> int:
    from segscape.sweep.run.display import screen, show_status
    from segscape.sweep.run.progress import Reader

    campaign = _campaign(sweep, jobs)
    if "--watch" in asked.options:
        return _watch(campaign)
    look = Reader(sweep).look(campaign.standings(), campaign.queue.slots)
    if "--json" in asked.options:
        description = sweep.read_description()
        data = {
            "name": sweep.name,
            "path": str(sweep.path),
            **{key: description.get(key) for key in ("created", "command", "launcher")},
            "counts": {str(state): number for state, number in look.counts.items()},
            "seconds_left": look.seconds_left,
            "jobs": [one.plain() for one in look.jobs],
        }
        print(json.dumps(data, indent=2))
        return 0
    show_status(look, screen())
    return 0


def _watch(campaign: Campaign) -> int:
    """Look until nothing runs; nothing is submitted."""
    from segscape.sweep.memory.status import LIVE
    from segscape.sweep.run.display import Watch

    with Watch(campaign.sweep, campaign.queue.slots) as show:
        try:
            while True:
                found = campaign.standings()
                show(found)
                if not any(one.state in LIVE for one in found):
                    break
                time.sleep(INTERVAL_S)
        except KeyboardInterrupt:
            show.interrupted()
    return 0


def _status_of_all(as_json: bool) -> int:
    from segscape.sweep.run.display import headline
    from segscape.sweep.run.progress import Look, Reader

    found: dict[str, Look | str] = {}
    for name in _names():
        sweep = find(str(_home() / name))
        try:
            campaign = _campaign(sweep, sweep.jobs())
            found[name] = Reader(sweep).look(campaign.standings(), campaign.queue.slots)
        except UserError as error:  # one that is damaged does not hide the others
            found[name] = error.what
    if as_json:
        data = {
            name: {"error": look}
            if isinstance(look, str)
            else {str(state): number for state, number in look.counts.items()}
            for name, look in found.items()
        }
        print(json.dumps(data, indent=2))
        return 0
    if not found:
        print(f"no sweeps in {_home()}")
    width = max(map(len, found), default=0)
    for name, look in found.items():
        words = f"error: {look}" if isinstance(look, str) else headline(look)
        print(f"{name:<{width}}  {words}")
    return 0


# -- retry, resume, cancel -------------------------------------------------------------------------


def _retry(sweep: SweepDirectory, jobs: Sequence[Job], asked: _Request) -> int:
    from segscape.sweep.memory.status import State

    _need_queue(sweep)
    found = _campaign(sweep, jobs).standings()
    if asked.jobs:
        for one in found:
            _refuse_live(one)
        wanted = [one for one in found if one.state is not State.FINISHED]
    else:
        again = (State.FAILED, State.LOST, State.STOPPED)
        wanted = [one for one in found if one.state in again]
    if not wanted:
        print(f"nothing has failed: {_counts(found)}")
        return 0
    return _submit(sweep, wanted, asked)


def _resume(sweep: SweepDirectory, jobs: Sequence[Job], asked: _Request) -> int:
    from segscape.sweep.memory.status import State

    _need_queue(sweep)
    found = _campaign(sweep, jobs).standings()
    missing = {State.WAITING, State.LOST, State.STOPPED, State.CANCELLED}
    if asked.jobs:
        missing.add(State.PRUNED)
    wanted = [one for one in found if one.state in missing]
    failed = [one for one in found if one.state is State.FAILED]
    if failed:
        print(f"left out: {len(failed)} failed (segscape sweep retry {_shown(sweep)})")
    _wake(sweep, found)
    if not wanted and "--wait" not in asked.options:
        print(f"nothing is missing: {_counts(found)}")
        return 0
    return _submit(sweep, wanted, asked)


def _submit(sweep: SweepDirectory, wanted: Sequence[Standing], asked: _Request) -> int:
    whole = [one for one in wanted if sweep.frozen(one.job)]
    if len(whole) < len(wanted):
        gone = ", ".join(one.job.name for one in wanted if one not in whole)
        raise UserError(
            f"the directory of {gone} is gone, and with it what was frozen",
            "run the command of the sweep again: it makes another",
        )
    campaign = _campaign(sweep, [one.job for one in wanted])
    submitted = campaign.submit_due(retry=[one.job.id for one in wanted])
    for job in submitted:
        print(f"submitted  {job.name}")
    print(f"{len(submitted)} submitted ({campaign.queue.name})")
    if _is_search(sweep):
        print("  the search itself goes on with its own command only")
    if "--wait" not in asked.options:
        print(f"  segscape sweep status {_shown(sweep)} --watch")
        return 0
    from segscape.sweep.sweeper import watched

    # Waiting goes for the whole sweep: what is lost meanwhile is started again.
    return watched(_campaign(sweep, [job for job in sweep.jobs() if sweep.frozen(job)]))


def _wake(sweep: SweepDirectory, found: Sequence[Standing]) -> None:
    """Jobs that wait on this machine need a runner: it may have been killed, or rebooted away."""
    from segscape.sweep.launchers.local import ensure_runner
    from segscape.sweep.memory.status import State

    for one in found:
        if one.state is not State.QUEUED:
            continue
        last = sweep.attempts(one.job)[-1]
        if last.launcher == "local":
            with sweep.lock():
                ensure_runner(sweep, last.code)
            return


def _cancel(sweep: SweepDirectory, jobs: Sequence[Job], asked: _Request) -> int:
    _need_queue(sweep)
    with sweep.lock():
        ended = 0 if asked.jobs else _end_searches(sweep)
        if ended:
            jobs = sweep.jobs()  # also those that a search has drawn meanwhile
        campaign = _campaign(sweep, jobs)
        cancelled = campaign.cancel(jobs)
    for job in cancelled:
        print(f"cancelled  {job.name}")
    if ended:
        print("the search ends; its own command goes on with it")
        return 0
    if not cancelled:
        print(f"nothing to cancel: {_counts(campaign.standings())}")
        return 0
    print(
        f"{len(cancelled)} cancelled; those that run save first\n"
        f"  segscape sweep resume {_shown(sweep)} goes on with them"
    )
    return 0


def _is_search(sweep: SweepDirectory) -> bool:
    from segscape.sweep.search.locks import FOLDER

    return (sweep.path / FOLDER).is_dir()


def _end_searches(sweep: SweepDirectory) -> int:
    """Tell the searchers of a sweep to end: they would draw other jobs. How many there are."""
    from segscape.sweep.search.locks import FOLDER, end_all

    return end_all(sweep.path / FOLDER)


def _measure(sweep: SweepDirectory, jobs: Sequence[Job], asked: _Request) -> int:
    from segscape.sweep.run.remeasure_latency import measure_designs

    number = measure_designs(sweep, _campaign(sweep, jobs).standings())
    print(f"{number} designs measured; segscape report {_shown(sweep)} shows them")
    return 0


def _refuse_live(one: Standing) -> None:
    from segscape.sweep.memory.status import LIVE, State

    if one.state in LIVE or one.state is State.FINISHED:
        what = "has finished" if one.state is State.FINISHED else f"is {one.state}"
        raise UserError(
            f"{one.job.name} {what}: there is nothing to try again",
            "without JOB, all that went wrong is tried again",
        )


def _counts(found: Sequence[Standing]) -> str:
    from segscape.sweep.run.progress import Look, Progress, shares

    return shares(Look([Progress(one) for one in found]).counts)


def _shown(sweep: SweepDirectory) -> str:
    from segscape.sweep.run.display import short

    return short(sweep.path)
