"""Data sets, transforms and the loaders that feed the training."""
