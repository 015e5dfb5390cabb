"""Scoring of trained or imported networks."""
