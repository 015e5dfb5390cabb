"""A job of a played search as a process of its own: rows of metrics.csv, but no training.

`python played_job.py DIRECTORY TOKEN` stands in for segscape.sweep.run.worker. The configuration's
`toy.rows` is the number of its validations; after SIGTERM it ends as a worker that has saved does.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from played_search import figures_of

from segscape.runs.files import read_json, write_json
from segscape.runs.run_directory import RunDirectory

STEP_S = 0.1
STOPPED = 3


def main(place: Path, token: str) -> int:
    run, asked = RunDirectory(place), list[int]()
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    config = read_json(place / "job.json")["config"]
    rows = int(config["toy"]["rows"])
    write_json(place / "worker.json", {"token": token})
    row: dict[str, float] = {}
    for number in range(1, rows + 1):
        if asked:
            run.write_status("stopped")
            write_json(
                place / "worker.json", {"token": token, "exit": STOPPED, "signal": "SIGTERM"}
            )
            return STOPPED
        row = figures_of(config, number / rows)
        run.append_metrics({"epoch": number, "step": number, **row})
        time.sleep(STEP_S)
    run.write_summary(row)
    run.write_status("finished")
    write_json(place / "worker.json", {"token": token, "exit": 0})
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
