"""Parts of segmentation networks, and the network that they form."""
