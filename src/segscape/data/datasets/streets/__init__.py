"""The built-in data set: procedural street scenes (`scene.render`) and their data module."""
