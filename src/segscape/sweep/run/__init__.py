"""The processes of a sweep: the supervisor, the workers, and what they show."""
