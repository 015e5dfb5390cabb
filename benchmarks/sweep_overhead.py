"""What a job of a sweep costs beyond its own work, against plain Hydra with the submitit plugin.

    python benchmarks/sweep_overhead.py                       # this machine
    python benchmarks/sweep_overhead.py --queue slurm         # a cluster (scripts/local_slurm.sh)
    python benchmarks/sweep_overhead.py --jobs 4 12 --rounds 3 --plugin DIRECTORY

Both sides run the same small trainings. A job's own work is what passes between the start and the
end that its status.json names, where as many jobs ran at once as there are cores. What is left of
the command's wall time, per job, is overhead: starting Python, importing torch, composing, checking
(ours composes, checks and costs every job before the first is submitted), submitting, noticing the
end. That of a command with few jobs shows what is done once, that of one with many what each costs.

The plain side is a Hydra application of a few lines with its own sweeper and
`hydra-submitit-launcher`, which has to be installed, or unpacked in DIRECTORY
(pip install --no-deps --target DIRECTORY hydra-submitit-launcher).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SMALL = (
    *("data.size=[64,128]", "data.crop=[64,128]", "data.train_size=8", "data.val_size=2"),
    *("data.batch_size=4", "data.eval_batch_size=2", "data.num_workers=0"),
    *("trainer.max_epochs=1", "profile.latency=false", "callbacks.gallery_images=0", "logger=csv"),
)
PLAIN = """
import hydra
from omegaconf import OmegaConf


@hydra.main(config_path={conf!r}, config_name="train", version_base="1.3")
def main(composed):
    from hydra.core.hydra_config import HydraConfig
    from segscape.job import Request, run

    context = HydraConfig.get()
    config = OmegaConf.to_container(composed, resolve=True)
    config.pop("sweep")
    choices = {{key: str(value) for key, value in context.runtime.choices.items()}}
    run(Request({{**config, "run_dir": f"plain/{{config['seed']}}"}}, [], choices))


main()
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--queue", choices=("local", "slurm"), default="local")
    parser.add_argument("--jobs", type=int, nargs=2, default=(4, 12), metavar=("FEW", "MANY"))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--plugin", help="where hydra-submitit-launcher is, if not installed")
    return parser.parse_args()


def ours(place: Path, jobs: int, queue: str) -> float:
    """Run our sweep; its wall time in seconds."""
    slots = len(os.sched_getaffinity(0))
    settings = [f"hydra.launcher.jobs={slots}"] if queue == "local" else ["hydra.launcher.cpus=1"]
    command = [str(ROOT / "train.py"), "-m", f"sweep.seeds={jobs}", "sweep.name=ours"]
    return timed([*command, f"hydra/launcher={queue}", *settings, *SMALL], place, {})


def plain(place: Path, jobs: int, queue: str, plugin: str | None) -> float:
    """Run plain Hydra; its wall time in seconds."""
    app = place / "plain_app.py"
    app.write_text(PLAIN.format(conf=str(ROOT / "conf")))
    seeds = ",".join(str(seed) for seed in range(1, jobs + 1))
    launcher = [f"hydra/launcher=submitit_{queue}", "hydra.launcher.timeout_min=30"]
    launcher += ["hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=null"]
    if queue == "slurm":
        launcher += ["hydra.launcher.gpus_per_node=null"]
    # The same share of the machine as a job of ours has.
    more = {"OMP_NUM_THREADS": "1"}
    if plugin:
        paths = [str(Path(plugin).absolute()), os.environ.get("PYTHONPATH", "")]
        more["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    command = [str(app), "-m", f"seed={seeds}", "hydra/sweeper=basic", *launcher, *SMALL]
    return timed([*command, "hydra.sweep.dir=multirun"], place, more)


def timed(command: list[str], place: Path, more: dict[str, str]) -> float:
    """Wall time of a Python command in seconds; ends the benchmark when it fails."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *command],
        cwd=place,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
    )
    took = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
    return took


def own_work(runs: list[Path]) -> list[float]:
    """Seconds between start and end of each run, as it recorded them itself."""
    found = []
    for run in runs:
        status = json.loads((run / "status.json").read_text())
        assert status["state"] == "finished", run
        begun, ended = (datetime.fromisoformat(status[key]) for key in ("started", "updated"))
        found.append((ended - begun).total_seconds())
    return found


def run_once(side: str, jobs: int, asked: argparse.Namespace) -> tuple[float, float]:
    """Wall time of a command, and the mean of its jobs' own work, in seconds."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        if side == "segscape":
            took = ours(place, jobs, asked.queue)
            runs = sorted(place.glob("runs/sweeps/ours/jobs/*"))
        else:
            took = plain(place, jobs, asked.queue, asked.plugin)
            runs = sorted(place.glob("plain/*"))
        work = own_work(runs)
    assert len(work) == jobs, f"{side}: {len(work)} of {jobs} jobs"
    print(f"  {side:<9}{jobs:3} jobs {took:6.1f} s, own work {statistics.mean(work):.2f} s each")
    return took, statistics.mean(work)


def main() -> None:
    """Alternate both sides and both sizes; print what a job costs beyond its own work."""
    asked = arguments()
    cores = len(os.sched_getaffinity(0))
    for jobs in asked.jobs:
        found: dict[str, list[tuple[float, float]]] = {"segscape": [], "plain": []}
        for _ in range(asked.rounds):
            for side, measured in found.items():
                measured.append(run_once(side, jobs, asked))
        # submitit's local executor starts all jobs at once: there their work takes longer, and that
        # is overhead too.
        alone = min(work for measured in found.values() for _, work in measured)
        share = alone * jobs / min(cores, jobs)
        ours_, theirs = (
            statistics.median(took - share for took, _ in found[side]) / jobs for side in found
        )
        print(
            f"{asked.queue}, {jobs} jobs on {cores} cores, own work {alone:.2f} s: overhead per "
            f"job segscape {ours_:.2f} s, plain Hydra {theirs:.2f} s, ratio {ours_ / theirs:.2f}"
        )


if __name__ == "__main__":
    main()
