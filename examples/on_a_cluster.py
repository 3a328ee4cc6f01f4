"""A sweep on a Dask cluster that you have: here two processes of this machine."""

import tempfile

from distributed import Client, LocalCluster

from pipeline import crossing, sweep

# Processes that are started import this file again: without the guard each would start others.
if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as results:
        # Any cluster will do whose workers see the folder of the results.
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            # Units are what workers get: of the default size, these would be one alone.
            dataset = sweep(
                freqs=range(15), trials=100_000, unit_trials=10_000, client=client, results=results
            )
            workers = len(client.scheduler_info()["workers"])
        trials = dataset.sizes["trial"]
        print(f"{trials:,} blocks, measured by {workers} workers")
        found = crossing(dataset, below=0.05).squeeze()
        print(f"mean error below 0.05 from n = {found.crossing.item():.0f} on")

        # Without a cluster: threads of this process.  The bits are the same.
        alone = sweep(freqs=range(15), trials=trials, out=f"{results}/alone.zarr")
        print("same bits without the cluster:", dataset.error.equals(alone.error))
