"""What a run writes: its directory, locks, environment, code snapshot and checkpoints."""
