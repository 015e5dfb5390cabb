"""What a model costs: counted work and measured time."""
