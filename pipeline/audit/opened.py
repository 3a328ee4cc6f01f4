"""A store that is looked through: its identity, its arrays, and the places of its units."""

import json

import numpy as np

from pipeline.audit.metadata import Place, chunk_grid
from pipeline.plan.identity import Identity, labels
from pipeline.store import layout, store
from pipeline.store.layout import METRICS


class Opened:
    """A store, its identity, and its ledger."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.attributes = store.provenance_of(path)
        self.identity: Identity = json.loads(self.attributes["identity"])
        self.unit_trials = int(self.attributes["unit_trials"])
        self.root = layout.open_group(path)
        have = labels(self.identity)
        self.cells = [
            (s, b) for s in range(len(have["source"])) for b in range(len(have["block_size"]))
        ]

    def describe(self, place: Place) -> str:
        """A unit, in words."""
        have, (s, b, number) = labels(self.identity), place
        start = number * self.unit_trials
        return (
            f"source={have['source'][s]} block_size={have['block_size'][b]} "
            f"trials {start}..{start + self.unit_trials - 1}"
        )

    def chunk_files(self, place: Place) -> tuple[str, ...]:
        """The files that have, or may have, the trials of a unit and its row in the journal."""
        s, b, number = place
        files = [
            f"{self.path}/{name}/c/" + "/".join(map(str, (s, b, *index, number)))
            for name in METRICS
            for index in np.ndindex(*chunk_grid(self.root[name])[2:-1])
        ]
        return (*files, f"{self.path}/journal/rows/c.{s}.{b}.{number}.0")
