"""Weights in and out: official checkpoints of the literature, and our own files.

- `read`: tensors of a file of any known container, without executing anything in it.
- `sources`: what an official implementation calls its tensors; one module per implementation.
- `importer`: official tensors into one of our models, every tensor accounted for.
- `files`: our own weight files, and the one entry point for weights of any origin.
"""
