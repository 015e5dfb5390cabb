"""Training: the LightningModule, its callbacks, exact resume.

Beside it only `data` imports Lightning.
"""
