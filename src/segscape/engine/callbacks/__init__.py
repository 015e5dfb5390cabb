"""What happens around the training steps: records, checkpoints, signals, progress, gallery."""
