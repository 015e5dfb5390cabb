"""Optimisers with parameter groups, and learning-rate schedules per step."""
