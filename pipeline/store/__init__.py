"""The Zarr store of a sweep: where it is, what it says of itself, its arrays and its ledger."""
