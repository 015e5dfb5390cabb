"""What is asked of SLURM for each job, checked before anything is submitted."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segscape.errors import UserError, nearest

_KEY = "hydra.launcher"
# What SLURM sends this long before the limit may come a minute earlier still.
_SIGNAL_SPREAD_S = 60
# Flags of sbatch that are decided here: two words on one thing would be a riddle.
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


@dataclass(frozen=True)
class SlurmSettings:
    """What each job gets; None leaves it to the cluster.

    Attributes:
        partition: one, or several separated by commas.
        account: who pays.
        qos: quality of service.
        time: limit of one start: minutes, or SLURM's `1-12:00:00`.
        cpus: cores of a job.
        memory: of a job: GB, or SLURM's `16G`.
        gpus: of a job; None: as many as trainer.devices says, when trainer.accelerator says gpu.
        constraint: features that the node must have.
        exclude: nodes not to use.
        array_parallelism: how many jobs of one array run at once; None: as many as SLURM lets.
        signal_s: so many seconds before the limit the job saves and goes back into the queue.
        srun: start the job by srun within its allocation; where that fails, false.
        setup: shell commands to run before, e.g. `module load cuda`; one that fails ends the job.
        additional: any other flag of sbatch, without the dashes; true for one without a value.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: int | str | None = None
    cpus: int | None = None
    memory: int | float | str | None = None
    gpus: int | None = None
    constraint: str | None = None
    exclude: str | None = None
    array_parallelism: int | None = None
    signal_s: int = 120
    srun: bool = True
    setup: tuple[str, ...] = ()
    additional: Mapping[str, Any] = dataclasses.field(default_factory=dict)

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
            gpus: of each job; 0 asks for none.
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
    known = [field.name for field in dataclasses.fields(SlurmSettings)]
    for key in values:
        if key not in known:
            close = nearest(str(key), known)
            hint = f"did you mean {_KEY}.{close}? " if close else ""
            raise UserError(
                f"{_KEY}.{key}: there is no such key",
                f"{hint}it takes: {', '.join(known)}; other flags of sbatch: {_KEY}.additional",
            )
    values = {key: value for key, value in values.items() if value is not None}
    for key, least in (("cpus", 1), ("gpus", 0), ("array_parallelism", 1), ("signal_s", 1)):
        _whole_number(values, key, least)
    for key in ("partition", "account", "qos", "constraint", "exclude"):
        if key in values:
            # YAML reads an account of digits as a number.
            values[key] = str(values[key])
    if not isinstance(values.get("srun", True), bool):
        raise UserError(f"{_KEY}.srun={values['srun']!r} cannot be used", "true or false")
    if "setup" in values:
        values["setup"] = _commands(values["setup"])
    if "additional" in values:
        values["additional"] = _flags(values["additional"])
    _memory(values.get("memory"))
    _long_enough(values)
    return SlurmSettings(**values)


def _checked(commands: Sequence[str]) -> list[str]:
    """Shell commands, each followed by an end of the script if it fails.

    A shell goes on: the job would train without what was to be set up.
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
    """How many GPUs a job asks for.

    Args:
        settings: what was chosen for all of them.
        config: of the job.

    Raises:
        UserError: its training wants another number than it would get.
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


def _long_enough(values: Mapping[str, Any]) -> None:
    time = values.get("time")
    if time is None:
        return
    if isinstance(time, bool) or not isinstance(time, (int, str)):
        raise UserError(f"{_KEY}.time={time!r} cannot be used", "minutes, or e.g. '1-12:00:00'")
    limit = seconds_of(time)
    if limit is None and str(time).upper() not in ("UNLIMITED", "INFINITE"):
        raise UserError(
            f"{_KEY}.time={time} cannot be read", "minutes, HH:MM:SS, D-HH or D-HH:MM:SS"
        )
    signal_s = values.get("signal_s", SlurmSettings.signal_s)
    if limit is not None and limit <= signal_s + _SIGNAL_SPREAD_S:
        raise UserError(
            f"{_KEY}.time={time} leaves no time to train: SLURM's signal to save comes "
            f"{_KEY}.signal_s={signal_s} seconds before the limit, and up to a minute earlier",
            f"give more time, or a smaller {_KEY}.signal_s",
        )


def _whole_number(values: Mapping[str, Any], key: str, least: int) -> None:
    value = values.get(key)
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"{_KEY}.{key}={value!r} cannot be used", f"a whole number from {least} on")


def _memory(value: Any) -> None:
    if value is None:
        return
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
    if not number and not (isinstance(value, str) and re.fullmatch(r"\d+[KMGT]?", value)):
        raise UserError(f"{_KEY}.memory={value!r} cannot be used", "GB, or a text such as 16G")


def _commands(value: Any) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, Sequence) or not all(isinstance(each, str) for each in listed):
        raise UserError(
            f"{_KEY}.setup={value!r} cannot be used", "shell commands, e.g. ['module load cuda']"
        )
    return tuple(listed)


def _flags(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(
            f"{_KEY}.additional={value!r} cannot be used", "flags of sbatch, e.g. {nice: 100}"
        )
    flags = {str(key).lstrip("-").replace("_", "-"): each for key, each in value.items()}
    for key in flags:
        if key in _OURS:
            own = _OURS[key]
            hint = f"use {_KEY}.{own}" if own else "segscape needs it for itself"
            raise UserError(f"{_KEY}.additional.{key} cannot be set", hint)
    return flags


def _plain(value: Any) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
