"""Encoders: image to features at several strides."""
