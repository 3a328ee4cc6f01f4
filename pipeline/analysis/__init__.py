"""Numbers from stores: curves, datasets, comparisons, claims."""
