"""Choose training and validation rows, and make image-text pairs of them."""
