"""Settings for SLURM: what is accepted and, without a cluster, what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from segscape.errors import UserError
from segscape.sweep.launchers.queues import queue_from
from segscape.sweep.launchers.slurm import SlurmQueue
from segscape.sweep.launchers.slurm_settings import gpus_of, read_slurm_settings, seconds_of

CPU = {"trainer": {"accelerator": "cpu", "devices": 1}}


def gpu(devices: object) -> dict[str, object]:
    return {"trainer": {"accelerator": "gpu", "devices": devices}}


def test_settings_survive_the_way_through_a_file() -> None:
    queue = SlurmQueue(
        partition="main", cpus=4, setup=["module load cuda"], srun=False, additional={"nice": 100}
    )
    again = queue_from("slurm", queue.settings())
    assert again.settings() == queue.settings()
    assert again.settings() == {
        "partition": "main",
        "cpus": 4,
        "srun": False,
        "setup": ["module load cuda"],
        "additional": {"nice": 100},
    }


def test_a_setup_command_that_fails_ends_the_job() -> None:
    settings = read_slurm_settings({"setup": ["export A=1  # a remark", "no_such_command", "true"]})
    commands = settings.parameters("name", gpus=0)["setup"]
    script = "\n".join(["set +e", *commands, "echo begins"])
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.returncode == 127 and "begins" not in done.stdout
    assert "segscape: setup command 2 failed with exit code 127" in done.stderr
    fine = "\n".join([*commands[:2], 'echo "$A begins"'])
    assert subprocess.check_output(["bash", "-c", fine], text=True) == "1 begins\n"


def test_nothing_given_asks_for_nothing() -> None:
    assert SlurmQueue(partition=None, time=None, memory=None).settings() == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"partiton": "x"}, "hydra.launcher.partition"),
        ({"cpus": 0}, "from 1 on"),
        ({"cpus": "four"}, "from 1 on"),
        ({"gpus": -1}, "from 0 on"),
        ({"memory": "lots"}, "16G"),
        ({"memory": True}, "16G"),
        ({"srun": "maybe"}, "true or false"),
        ({"setup": 3}, "shell commands"),
        ({"additional": "nice"}, "nice: 100"),
        ({"additional": {"job_name": "x"}}, "needs it for itself"),
        ({"additional": {"--time": 5}}, "use hydra.launcher.time"),
        ({"time": "soon"}, "HH:MM:SS"),
        ({"time": 2}, "up to a minute earlier"),
        ({"time": "00:10:00", "signal_s": 600}, "smaller hydra.launcher.signal_s"),
    ],
)
def test_a_wrong_setting_says_what_would_be_right(given: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as error:
        read_slurm_settings(given)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        (90, 5400),
        ("90", 5400),
        ("90:30", 5430),
        ("2:00:00", 7200),
        ("1-12", 129600),
        ("1-00:30", 88200),
        ("1-00:00:05", 86405),
        ("UNLIMITED", None),
    ],
)
def test_limits_are_read_as_slurm_reads_them(time: int | str, seconds: int | None) -> None:
    assert seconds_of(time) == seconds


def test_gpus_follow_the_training() -> None:
    settings = read_slurm_settings({})
    assert gpus_of(settings, CPU) == 0
    assert gpus_of(settings, gpu(2)) == 2
    assert gpus_of(settings, gpu("2")) == 2
    assert gpus_of(settings, gpu([0, 3])) == 2
    assert gpus_of(settings, gpu("auto")) == 1
    assert gpus_of(read_slurm_settings({"gpus": 4}), gpu(-1)) == 4
    assert gpus_of(settings, {"trainer": {"accelerator": "auto", "devices": 1}}) == 0


def test_gpus_that_contradict_the_training_are_refused() -> None:
    with pytest.raises(UserError, match="uses none"):
        gpus_of(read_slurm_settings({"gpus": 1}), CPU)
    with pytest.raises(UserError, match=r"trainer\.devices=2"):
        gpus_of(read_slurm_settings({"gpus": 2}), gpu(1))
    with pytest.raises(UserError, match=r"gpus=0"):
        gpus_of(read_slurm_settings({"gpus": 0}), gpu(1))


def test_sbatch_gets_what_was_asked_for() -> None:
    settings = read_slurm_settings(
        {"memory": 1.5, "cpus": 3, "account": 17, "additional": {"nice": 5, "exclusive": None}}
    )
    found = settings.parameters("name", gpus=2)
    assert found["additional_parameters"] == {"requeue": True, "mem": "1536M", "nice": 5}
    assert found["srun_args"] == ["--cpus-per-task=3"]
    assert found["gpus_per_node"] == 2
    assert found["account"] == "17"
    # submitit would limit every job to five minutes.
    assert found["time"] is None


def test_without_srun_the_signal_goes_to_the_script() -> None:
    found = read_slurm_settings({"srun": False, "cpus": 2, "signal_s": 30}).parameters("n", 0)
    assert found["additional_parameters"]["signal"] == "B:USR2@30"
    assert found["srun_args"] is None
    assert found["gpus_per_node"] is None


def test_the_command_line_prints_the_same_error(tmp_path: Path) -> None:
    words = ["-m", "fusion=add", "hydra/launcher=slurm", "hydra.launcher.memory=lots"]
    done = subprocess.run(
        [sys.executable, "-m", "segscape", "train", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    first = done.stderr.splitlines()[0]
    assert first == "error: hydra.launcher.memory='lots' cannot be used"
    assert not list(tmp_path.iterdir()), "nothing was begun"
