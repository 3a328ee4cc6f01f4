"""The command line: words, verbs, help and completion."""
