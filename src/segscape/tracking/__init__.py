"""Trackers: what mirrors the rows, images and summary of a run to a tool that draws curves."""
