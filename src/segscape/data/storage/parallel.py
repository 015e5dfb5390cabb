"""A function applied to many numbers, in several processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from segscape.data.loader import prepare_worker
from segscape.errors import UserError

_action: Callable[[int], Any] | None = None


def over(
    numbers: Sequence[int], action: Callable[[int], Any], processes: int, chunk: int = 1
) -> Iterator[Any]:
    """The results of `action`, in the order of `numbers`.

    Args:
        numbers: its arguments.
        action: a function; whatever it refers to is shared by the fork.
        processes: 1, or a system that cannot fork, stays in this process.
        chunk: numbers that a process takes at once.

    Raises:
        UserError: a process was killed.
    """
    global _action
    if processes <= 1 or "fork" not in multiprocessing.get_all_start_methods():
        yield from map(action, numbers)
        return
    _action = action
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(processes, context, _begin, (os.getpid(),))
    try:
        yield from pool.map(_act, numbers, chunksize=chunk)
    except BrokenProcessPool as error:
        raise UserError(
            "a process was killed (out of memory?)",
            "give fewer with --workers; finished work stays, the same command continues from there",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
        _action = None


def _begin(parent: int) -> None:
    prepare_worker(0)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    # The pool's processes would wait for work forever after their parent is killed.
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _act(number: int) -> Any:
    assert _action is not None
    return _action(number)
