"""Command line and conf/ -> checked settings."""
