"""Checking a store: how far it is, whether it is damaged, whether another one has the same bits."""
