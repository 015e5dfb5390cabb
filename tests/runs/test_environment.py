"""The record of the machine, and the precision chosen from its flags."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch

from segscape.runs import environment
from segscape.runs.environment import cpu_flags, cpu_model, describe


def test_the_record_is_plain_data() -> None:
    record = describe()
    assert json.loads(json.dumps(record)) == record
    assert record["torch"]["version"] == torch.__version__
    assert record["packages"]["torch"] is not None
    assert record["cpu"]["cores_available"] >= 1
    assert record["cpu"]["model"]


def test_a_system_without_cpuinfo_has_no_flags(tmp_path: Path) -> None:
    assert cpu_flags(tmp_path / "missing") == frozenset()
    assert cpu_model(tmp_path / "missing")


def test_the_driver_is_asked_with_patience_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "NVIDIA Example, 580.1, P0, 1980 MHz, 2619 MHz, 1980 MHz, 700.00 W, 81559 MiB\n"
    seen: dict[str, object] = {}

    def answer(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        seen.update(options)
        return subprocess.CompletedProcess(command, 0, stdout=line, stderr="")

    monkeypatch.setattr(subprocess, "run", answer)
    (gpu,) = environment.nvidia_smi()
    assert gpu["name"] == "NVIDIA Example"
    assert gpu["driver_version"] == "580.1"
    assert gpu["memory.total"] == "81559 MiB"
    assert seen["timeout"]

    def hang(command: list[str], **options: object) -> None:
        raise subprocess.TimeoutExpired(command, 5)

    monkeypatch.setattr(subprocess, "run", hang)
    assert environment.nvidia_smi() == []


def test_job_numbers_are_kept_and_secrets_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv("SLURM_JOB_USER", "somebody")
    assert describe()["slurm"]["SLURM_JOB_ID"] == "17"
    assert describe()["slurm"]["SLURM_ARRAY_TASK_ID"] == "3"
    assert "SLURM_JOB_USER" not in describe()["slurm"]
