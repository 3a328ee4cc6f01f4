"""Time of one trial, drawing and measuring, for each block size; one thread, medians.

`python benchmarks/kernel.py` prints microseconds a trial: drawing uniform blocks, and all 2N - 1
frequencies of max pooling, of max pooling and ReLU, and of the last frequency alone; and the
notebook's algorithm, one frequency a call with nested loops, on a few blocks of the same stream.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

from asm_core import Operation, block_dct, dct_basis, measure
from asm_core.sources import uniform

REPEATS = 5
SAMPLES = 1 << 16


def seconds(function: Callable[[], object]) -> float:
    """Median time of a call, after one that compiles."""
    function()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def notebook(block: np.ndarray, n: int) -> float:
    """Max pooling of one 8 x 8 block by approximated masking, in the loops of the notebook."""
    size = len(block)
    basis = dct_basis(size)
    coefficients = block_dct(block)
    total = 0.0
    for a in range(0, size, 2):
        for b in range(0, size, 2):
            samples = {}
            for i in (a, a + 1):
                for j in (b, b + 1):
                    value = 0.0
                    for u in range(size):
                        for v in range(size):
                            if u + v <= n:
                                value += coefficients[u, v] * basis[u, i] * basis[v, j]
                    samples[i, j] = value
            chosen = max(samples, key=lambda place: samples[place])
            exact = max(block[place] for place in samples)
            total += (block[chosen] - exact) ** 2
    return (total / (size // 2) ** 2) ** 0.5


def main() -> None:
    """Print the table."""
    pool, relu = Operation("max_pool"), Operation("relu")
    print("microseconds a trial          drawing  max_pool  and relu  last frequency alone")
    for size in (4, 8, 16, 32, 64):
        count = max(64, SAMPLES // size**2)
        blocks = uniform(0, size, 0, count)
        freqs = range(2 * size - 1)
        times = [
            seconds(lambda size=size, count=count: uniform(0, size, 0, count)),
            seconds(lambda blocks=blocks, freqs=freqs: measure(blocks, freqs, [pool])),
            seconds(lambda blocks=blocks, freqs=freqs: measure(blocks, freqs, [pool, relu])),
            seconds(lambda blocks=blocks, freqs=freqs: measure(blocks, [freqs[-1]], [pool])),
        ]
        row = "".join(f"{1e6 * t / count:10.2f}" for t in times)
        print(f"block {size:2} x {size:2}, {len(freqs):3} freqs {row}")
    blocks = uniform(0, 8, 0, 3)
    slow = seconds(lambda: [notebook(block, n) for block in blocks for n in range(15)]) / 3
    print(f"the notebook's loops, block 8 x 8, 15 freqs: {1e6 * slow:,.0f}")


if __name__ == "__main__":
    main()
