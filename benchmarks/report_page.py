"""How large the report page of many runs is, and how long a browser takes to open it.

    python benchmarks/report_page.py --runs 200

The runs are made up, with galleries, 40 validations each and a failed one here and there. The time
is from asking headless Chromium for the page until everything in view is drawn.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))


def main() -> None:
    """Write the page and open it some times."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()

    import browser as chrome
    import synthetic_runs

    from segscape.report.page import write_page

    with tempfile.TemporaryDirectory() as directory, chrome.chromium() as found:
        place = Path(directory)
        collection = synthetic_runs.collection(asked.runs, place / "pictures")
        start = time.perf_counter()
        file = write_page(collection, place / "report.html")
        wrote = time.perf_counter() - start
        took = []
        for _ in range(asked.rounds):
            start = time.perf_counter()
            with chrome.opened(found, file):
                took.append(time.perf_counter() - start)
        print(
            f"{asked.runs} runs: {file.stat().st_size / 1e6:.2f} MB, written in {wrote:.2f} s, "
            f"opened in {statistics.median(took):.2f} s "
            f"(median of {asked.rounds}, {min(took):.2f} to {max(took):.2f})"
        )


if __name__ == "__main__":
    main()
