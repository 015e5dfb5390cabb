"""Decoded samples on disk and in memory, and shards of samples for object stores."""
