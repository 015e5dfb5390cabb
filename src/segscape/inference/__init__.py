"""From an image to a class map, and pictures of it."""
