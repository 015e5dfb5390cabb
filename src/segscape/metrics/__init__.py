"""Scores: exact over a whole split, also under several processes."""
