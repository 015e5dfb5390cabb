"""What a run leaves behind: its directory, locks, environment, code snapshot and checkpoints."""
