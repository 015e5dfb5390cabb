"""The resources of each job on SLURM, checked before anything is submitted."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from omegaconf import OmegaConf

from segscape.errors import UserError
from segscape.sweep.fields import at_least, cannot_be_used, read_fields, true_or_false, word

_KEY = "hydra.launcher"
# What SLURM sends this long before the limit may come a minute earlier still.
_SIGNAL_SPREAD_S = 60
# Flags of sbatch that are set here; each has one place where it is given.
_OURS = {
    "account": "account",
    "array": "array_parallelism",
    "constraint": "constraint",
    "cpus-per-task": "cpus",
    "error": None,
    "exclude": "exclude",
    "export": None,
    "gpus-per-node": "gpus",
    "job-name": None,
    "mem": "memory",
    "nodes": None,
    "ntasks": None,
    "ntasks-per-node": None,
    "open-mode": None,
    "output": None,
    "partition": "partition",
    "qos": "qos",
    "signal": "signal_s",
    "time": "time",
}


def seconds_of(time: int | str) -> int | None:
    """A limit as SLURM reads it, in seconds; None when it has no end or cannot be read."""
    if isinstance(time, int):
        return time * 60
    days, dash, clock = time.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in [*parts, *([days] if dash else [])]) or len(parts) > 3:
        return None
    numbers = [int(part) for part in parts]
    if dash:  # D-HH, D-HH:MM, D-HH:MM:SS
        hours, minutes, seconds = (*numbers, 0, 0)[:3]
    elif len(numbers) == 3:
        hours, minutes, seconds = numbers
    else:  # MM, MM:SS
        hours, minutes, seconds = 0, *(*numbers, 0)[:2]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def _memory(key: str, value: Any) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
    if not number and not (isinstance(value, str) and re.fullmatch(r"\d+[KMGT]?", value)):
        raise cannot_be_used(key, value, "GB, or a text such as 16G")
    return value


def _time(key: str, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise cannot_be_used(key, value, "minutes, or e.g. '1-12:00:00'")
    if seconds_of(value) is None and str(value).upper() not in ("UNLIMITED", "INFINITE"):
        raise UserError(f"{key}={value} cannot be read", "minutes, HH:MM:SS, D-HH or D-HH:MM:SS")
    return value


def _commands(key: str, value: Any) -> tuple[str, ...]:
    commands = [value] if isinstance(value, str) else value
    if not isinstance(commands, Sequence) or not all(isinstance(each, str) for each in commands):
        raise cannot_be_used(key, value, "shell commands, e.g. ['module load cuda']")
    return tuple(commands)


def _flags(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise cannot_be_used(key, value, "flags of sbatch, e.g. {nice: 100}")
    flags = {str(name).lstrip("-").replace("_", "-"): each for name, each in value.items()}
    for name in flags:
        if name in _OURS:
            own = _OURS[name]
            hint = f"use {_KEY}.{own}" if own else "segscape needs it for itself"
            raise UserError(f"{key}.{name} cannot be set", hint)
    return flags


@dataclass(frozen=True)
class SlurmSettings:
    """What each job gets; None is the cluster's default.

    Attributes:
        partition: one, or several separated by commas.
        account: that is charged.
        qos: quality of service.
        time: limit of one start: minutes, or SLURM's `1-12:00:00`.
        cpus: cores of a job.
        memory: of a job: GB, or SLURM's `16G`.
        gpus: of a job; None: as many as trainer.devices, when trainer.accelerator is gpu.
        constraint: features that the node must have.
        exclude: nodes not to use.
        array_parallelism: how many jobs of one array run at once; None: as many as SLURM starts.
        signal_s: so many seconds before the limit the job saves and goes back into the queue.
        srun: start the job by srun within its allocation; where that fails, false.
        setup: shell commands to run before, e.g. `module load cuda`; one that fails ends the job.
        additional: any other flag of sbatch, without the dashes; true for one without a value.
    """

    partition: Annotated[str | None, word] = None
    account: Annotated[str | None, word] = None
    qos: Annotated[str | None, word] = None
    time: Annotated[int | str | None, _time] = None
    cpus: Annotated[int | None, at_least(1)] = None
    memory: Annotated[int | float | str | None, _memory] = None
    gpus: Annotated[int | None, at_least(0)] = None
    constraint: Annotated[str | None, word] = None
    exclude: Annotated[str | None, word] = None
    array_parallelism: Annotated[int | None, at_least(1)] = None
    signal_s: Annotated[int, at_least(1)] = 120
    srun: Annotated[bool, true_or_false] = True
    setup: Annotated[tuple[str, ...], _commands] = ()
    additional: Annotated[Mapping[str, Any], _flags] = dataclasses.field(default_factory=dict)

    def given(self) -> dict[str, Any]:
        """Plain data, without what is left at its default."""
        fields = dataclasses.asdict(self)
        default = dataclasses.asdict(SlurmSettings())
        kept = {key: value for key, value in fields.items() if value != default[key]}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in kept.items()}

    def parameters(self, name: str, gpus: int) -> dict[str, Any]:
        """Arguments of submitit's `SlurmExecutor.update_parameters`.

        Args:
            name: of the jobs.
            gpus: of each job; 0 for none.
        """
        # Without it scontrol refuses to requeue where the cluster's default is not to.
        additional: dict[str, Any] = {"requeue": True}
        if self.memory is not None:
            text = self.memory if isinstance(self.memory, str) else f"{self.memory * 1024:.0f}M"
            additional["mem"] = text
        if not self.srun:
            additional["signal"] = f"B:USR2@{self.signal_s}"
        additional |= {k: v for k, v in self.additional.items() if v is not None and v is not False}
        return {
            "job_name": name,
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "time": self.time,
            "cpus_per_task": self.cpus,
            "gpus_per_node": gpus or None,
            "constraint": self.constraint,
            "exclude": self.exclude,
            "array_parallelism": self.array_parallelism or 1_000_000,
            "signal_delay_s": self.signal_s,
            "use_srun": self.srun,
            # Since SLURM 22.05 srun does not inherit it: the job would be bound to one core.
            "srun_args": [f"--cpus-per-task={self.cpus}"] if self.cpus and self.srun else None,
            "setup": _checked(self.setup) or None,
            "wckey": None,
            "additional_parameters": additional,
        }


def read_slurm_settings(given: Mapping[str, Any]) -> SlurmSettings:
    """Check what was chosen.

    Raises:
        UserError: an unknown key, or a value that cannot be used.
    """
    values = {key: _plain(value) for key, value in given.items()}
    settings = read_fields(
        SlurmSettings, values, _KEY, f"other flags of sbatch: {_KEY}.additional; "
    )
    limit = None if settings.time is None else seconds_of(settings.time)
    if limit is not None and limit <= settings.signal_s + _SIGNAL_SPREAD_S:
        raise UserError(
            f"{_KEY}.time={settings.time} leaves no time to train: SLURM's signal to save comes "
            f"{_KEY}.signal_s={settings.signal_s} seconds before the limit, and up to a minute "
            "earlier",
            f"give more time, or a smaller {_KEY}.signal_s",
        )
    return settings


def _checked(commands: Sequence[str]) -> list[str]:
    """Shell commands, each followed by an end of the script if it fails.

    A shell goes on after an error: the job would train without its setup.
    """
    failed = (
        'segscape_code=$?; [ "$segscape_code" -eq 0 ] || { echo "segscape: setup command {number} '
        'failed with exit code $segscape_code" >&2; exit "$segscape_code"; }'
    )
    found = []
    for number, command in enumerate(commands, 1):
        found += [command, failed.replace("{number}", str(number))]
    return found


def gpus_of(settings: SlurmSettings, config: Mapping[str, Any]) -> int:
    """How many GPUs a job requests.

    Args:
        settings: what was chosen for all of them.
        config: of the job.

    Raises:
        UserError: its training needs another number than it would get.
    """
    trainer = config.get("trainer") or {}
    accelerator, devices = str(trainer.get("accelerator", "auto")), trainer.get("devices", 1)
    count = _count(devices)
    if settings.gpus is None:
        return count or 1 if accelerator in ("gpu", "cuda") else 0
    if settings.gpus and accelerator == "cpu":
        raise UserError(
            f"{_KEY}.gpus={settings.gpus}, but trainer.accelerator=cpu uses none",
            f"leave out one of them, or {_KEY}.gpus=0",
        )
    if not settings.gpus and accelerator in ("gpu", "cuda"):
        raise UserError(f"trainer.accelerator={accelerator}, but {_KEY}.gpus=0")
    if settings.gpus and count is not None and count != settings.gpus:
        raise UserError(
            f"{_KEY}.gpus={settings.gpus}, but trainer.devices={devices} uses {count}",
            f"give both the same number: trainer.devices={settings.gpus}",
        )
    return settings.gpus


def _count(devices: Any) -> int | None:
    """How many devices `trainer.devices` means; None: as many as there are."""
    if isinstance(devices, str) and re.fullmatch(r"\d+", devices):
        devices = int(devices)
    if isinstance(devices, bool) or (isinstance(devices, int) and devices < 1):
        return None
    if isinstance(devices, int):
        return devices
    return len(devices) if isinstance(devices, (list, tuple)) else None


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
