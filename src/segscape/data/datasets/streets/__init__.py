"""The built-in data set: procedural street scenes (`render.render`) and their data module."""
