"""Many trainings from one command, and the record of each."""
