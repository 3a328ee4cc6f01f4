"""Frequencies in an order of your own: by the energy that blocks like yours have in each."""

import matplotlib.cbook
import matplotlib.pyplot as plt
import numpy as np

import asm_core

N = 8
path = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
luma = plt.imread(path) @ [0.299, 0.587, 0.114] / 255
luma = np.mean([np.roll(luma, k, axis=1) for k in range(N)], axis=0)  # the camera moved sideways
rows, columns = (side // N for side in luma.shape)
blocks = luma[: rows * N, : columns * N].reshape(rows, N, columns, N).swapaxes(1, 2)

# The order comes from every other row of blocks, and is judged on the rows between.
known, others = blocks[::2].reshape(-1, N, N), blocks[1::2].reshape(-1, N, N)
energy = np.square(asm_core.block_dct(known)).mean(axis=0)
energy[0, 0] = np.inf  # the DC must be the first
own = np.empty((N, N), dtype=int)
own.flat[np.argsort(-energy, axis=None)] = np.arange(N * N)

# Compared where both keep equally many coefficients: own ranks keep one more with each n.
kept = np.array([asm_core.coefficients_kept(N, n) for n in range(2 * N - 1)])
by_diagonals = asm_core.errors_by_frequency(others, range(2 * N - 1)).mean(axis=1)
by_own_ranks = asm_core.errors_by_frequency(others, kept - 1, selection=own).mean(axis=1)

print("own ranks of the coefficients (u, v):", own, sep="\n")
print("mean error of ASM max pooling\nkept  u + v <= n  own ranks  ratio")
for count, theirs, ours in zip(kept[:-1], by_diagonals, by_own_ranks, strict=False):
    print(f"{count:4}  {theirs:10.6f}  {ours:9.6f}  {ours / theirs:5.2f}")
