"""Contexts: wide context on the deepest feature."""
