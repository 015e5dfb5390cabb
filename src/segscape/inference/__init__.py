"""From images to class maps, pictures and scores."""
