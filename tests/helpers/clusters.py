"""Classes and functions of clusters that entries of tests name, as a user's own would be."""

import time

import distributed

GIVEN = {}


class Recording(distributed.LocalCluster):
    """Threads of this process, and what its arguments were."""

    def __init__(self, listed=None, nothing=0, mapping=None, text="", n_workers=1, **options):
        GIVEN.update(listed=listed, nothing=nothing, mapping=mapping, text=text)
        super().__init__(
            n_workers=n_workers, threads_per_worker=1, processes=False,
            dashboard_address="127.0.0.1:0", **options,
        )  # fmt: skip
        GIVEN["cluster"] = self


def made(workers_at_first=1):
    """A function that gives a cluster."""
    return Recording(n_workers=workers_at_first)


def number():
    """Nothing that is a cluster."""
    return 7


def failing():
    """A cluster that does not start."""
    raise OSError("no such luck")


def late(seconds):
    """A cluster that takes long to start."""
    time.sleep(seconds)
    return Recording()


class Fixed(distributed.SpecCluster):
    """A cluster whose workers are named one by one, of which there can be no more."""

    def __init__(self):
        workers = {0: {"cls": distributed.Worker, "options": {"nthreads": 1}}}
        options = {"dashboard_address": "127.0.0.1:0"}
        super().__init__(workers, {"cls": distributed.Scheduler, "options": options})
