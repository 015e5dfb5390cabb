"""What a sweep keeps on disk: its jobs, their status and the frozen code they run."""
