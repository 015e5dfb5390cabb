"""The data sets, each with its layout on disk, its classes and its palette."""
