"""Print how many streets one core draws per second, and how frequent the classes are.

    OMP_NUM_THREADS=1 python benchmarks/streets_rate.py [scenes]

Processor time is counted, not wall time, and the median scene is given beside the mean: other
programs on the machine then disturb the figure less.
"""

from __future__ import annotations

import statistics
import sys
import time

import cv2
import numpy as np

from segscape.data.datasets.streets.render import CLASSES, render

SIZE = (256, 512)


def main(scenes: int) -> None:
    """Draw the scenes and print the figures."""
    cv2.setNumThreads(1)
    start = time.process_time()
    render(0, 0, SIZE)
    print(f"first scene with the atlas: {time.process_time() - start:.2f} s")
    counts, present, times = np.zeros(256, np.int64), np.zeros(256, np.int64), []
    for index in range(scenes):
        start = time.process_time()
        label = render(1, index, SIZE).label
        times.append(time.process_time() - start)
        count = np.bincount(label.ravel(), minlength=256)
        counts += count
        present += count >= 20
    mean, median = statistics.fmean(times), statistics.median(times)
    print(f"{SIZE[0]}x{SIZE[1]}: {1 / mean:.0f} scenes/s (mean), {1 / median:.0f} (median)")
    for number, name in [*enumerate(CLASSES), (255, "void")]:
        share = counts[number] / counts.sum()
        print(
            f"{name:10s} {share:7.4f} of the pixels, in {present[number] / scenes:4.0%} of scenes"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
