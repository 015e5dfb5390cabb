"""How a process of segscape ends, for shells, schedulers and sweeps."""

DONE = 0
FAILED = 1
WRONG_REQUEST = 2
STOPPED = 3  # saved after a signal: the same command with resume=auto continues
