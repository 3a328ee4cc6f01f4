"""Running a plan: in rounds, on a cluster, as tasks, each of which a worker measures and stores."""
