"""Searching the design space with Optuna."""
