"""Fusions: two levels into one."""
