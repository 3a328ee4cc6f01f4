"""Memory of whole sweeps against units and files: `python benchmarks/memory.py [FILES]`.

Peaks of the process of the sweep (client and scheduler, and on `local` the workers too) and of the
largest worker process, MiB resident.  The largest number of files is 100,000, or FILES.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from timing import table

CLUSTERS = ("local", "processes")


def peaks(*arguments: str) -> tuple[float, float]:
    """Peak memory of a sweep's own process and of its largest child, MiB."""
    command = [sys.executable, "-m", "pipeline", "sweep", *arguments]
    own, children = 0.0, 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sweep:
        process = psutil.Process(sweep.pid)
        while sweep.poll() is None:
            try:
                own = max(own, process.memory_info().rss)
                for child in process.children(recursive=True):
                    children = max(children, child.memory_info().rss)
            except psutil.NoSuchProcess:
                pass
            time.sleep(0.02)
    if sweep.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {sweep.returncode}")
    return own / 2**20, children / 2**20


def write_files(folder: Path, count: int, side: int) -> None:
    """So many grey PNG files of side x side samples."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for k in range(count):
        samples = random.integers(0, 256, (side, side), dtype=np.uint8)
        Image.fromarray(samples).save(folder / f"{k:06d}.png")


def line(name: str, units: int, cluster: str, *arguments: str) -> list[str]:
    """A line of the table."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=".") as folder:
        out = f"out={folder}/s.zarr"
        own, worker = peaks(*arguments, out, f"cluster={cluster}", "freqs=0", "store_trials=none")
    # On `local` the workers are threads of the sweep's own process.
    shown = "" if cluster == "local" else f"{worker:,.0f}"
    return [name, f"{units:,}", cluster, f"{own:,.0f}", shown]


def main(most: int) -> None:
    """Print the table."""
    lines = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=".") as folder:
        few, many = Path(folder, "few"), Path(folder, "many")
        write_files(few, 2000, 64)
        write_files(many, most, 8)
        for cluster in CLUSTERS:
            for units in (50, 900):
                size = f"unit_trials={-(-128_000 // units)}"
                source = ["source=images", f"source.images.path={few}", "trials=all"]
                lines.append(line("2,000 files", units, cluster, *source, size))
            for units in (1000, 10_000):
                size = [f"trials={100 * units}", "unit_trials=100"]
                lines.append(line("drawn", units, cluster, *size))
            size = f"unit_trials={-(-most // 400)}"
            source = ["source=images", f"source.images.path={many}", "trials=all"]
            lines.append(line(f"{most:,} files", 400, cluster, *source, size))
            print(lines[-5:], file=sys.stderr, flush=True)
    print(table(["source", "units", "cluster", "sweep, MiB", "a worker, MiB"], lines))


if __name__ == "__main__":
    main(int(float(sys.argv[1])) if len(sys.argv) > 1 else 100_000)
