"""What a sweep keeps on disk: its jobs, their status and the copy of the code that they run."""
