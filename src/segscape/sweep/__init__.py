"""Many trainings from one command, and the memory of what became of each."""
