"""Heads: feature to logits."""
