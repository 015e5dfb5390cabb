"""Losses: per-pixel criteria and their weighted sum over a network's heads."""
