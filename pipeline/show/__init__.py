"""Text, tables, progress and pictures; everything that they show is computed elsewhere."""
