"""Decoders: features to finer features."""
