"""segscape."""
