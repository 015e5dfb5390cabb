"""The end of a process."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End this process with an exit code, without taking every object of it down one by one.

    With torch and Lightning imported Python does that for a second of a core, for nothing: the
    system takes all back at once. Threads are waited for, and what has asked to be called at the
    exit is called, as ever.

    Args:
        code: 0 to 255.
    """
    if "torch" in sys.modules:
        # Private, and the same in 3.11 to 3.13; the public way is the whole of the exit.
        getattr(threading, "_shutdown", int)()
        getattr(atexit, "_run_exitfuncs", int)()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):  # nobody reads it any more
                code = code or 120  # as Python itself would end
        os._exit(code)
    sys.exit(code)
