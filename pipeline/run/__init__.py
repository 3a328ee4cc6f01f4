"""Running a plan: a cluster, its tasks, what a worker does with one, rounds."""
