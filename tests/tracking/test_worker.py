import threading

import pytest

from segscape.tracking.worker import Worker


def test_jobs_run_in_order_and_all_before_the_end():
    done, worker = [], Worker("T")
    for i in range(100):
        worker.submit(lambda i=i: done.append(i))
    assert worker.close(30, last=lambda: done.append("last")) is True
    assert done == [*range(100), "last"]


def test_a_failure_is_one_line_and_the_last_job_still_runs(capsys):
    done, worker, failed = [], Worker("T"), threading.Event()

    def fail():
        failed.set()
        raise SystemExit("broken\nsecond line")

    worker.submit(fail)
    failed.wait(30)
    for i in range(5):
        worker.submit(lambda i=i: 1 / i)
    assert worker.close(30, last=lambda: done.append("last")) is True
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("T: broken; ")
    assert worker.ended
    assert done == ["last"]


def test_droppable_jobs_make_room_and_rows_are_kept():
    done, worker, go = [], Worker("T", most_droppable=2), threading.Event()
    begun = threading.Event()
    worker.submit(lambda: (begun.set(), go.wait(30)))
    begun.wait(30)
    for i in range(5):
        worker.submit(lambda i=i: done.append(f"row {i}"))
        worker.submit(lambda i=i: done.append(f"images {i}"), droppable=True)
    go.set()
    assert worker.close(30)
    assert [each for each in done if "row" in each] == [f"row {i}" for i in range(5)]
    assert [each for each in done if "images" in each] == ["images 3", "images 4"]


def test_work_that_hangs_is_left_behind(capsys):
    worker, forever = Worker("T"), threading.Event()
    worker.submit(forever.wait)
    worker.submit(lambda: pytest.fail("runs after the end"))
    assert worker.close(0.05) is False
    assert worker.ended
    forever.set()
    assert worker.close(30) is True


def test_rows_that_pile_up_end_the_tracking(capsys, monkeypatch):
    monkeypatch.setattr("segscape.tracking.worker._MOST_ROWS", 10)
    worker, forever = Worker("T"), threading.Event()
    worker.submit(forever.wait)
    for _ in range(20):
        worker.submit(lambda: None)
    assert worker.ended
    assert capsys.readouterr().err.count("it hangs") == 1
    forever.set()
    assert worker.close(30) is True
