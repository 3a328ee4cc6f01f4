"""Text and pictures of what was computed elsewhere."""
