"""The record of a run: its directory, its snapshot of code and environment, its trackers."""
