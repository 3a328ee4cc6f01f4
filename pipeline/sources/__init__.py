"""Where blocks come from: drawn, or read from files and arrays."""
