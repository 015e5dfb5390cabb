"""Training: the LightningModule, its callbacks, exact resume. Only this room knows Lightning."""
