"""What an error of a block costs a network: ReLU and max pooling by ASM inside of one.

A small network learns scikit-learn's 8 x 8 digits, exactly.  Then its ReLU and its max pooling are
replaced by ASM, or by APX, with n frequencies kept; each channel of an image is one block.
python examples/digits.py [FOLDER]; a picture and the stores go into FOLDER, or nowhere.
"""

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import asm_core
from pipeline import summarize, sweep

try:
    from sklearn.datasets import load_digits
except ModuleNotFoundError:
    sys.exit("the digits are those of scikit-learn: python -m pip install scikit-learn")

CHANNELS, CLASSES, N = 12, 10, 8
FREQS = range(2 * N - 1)


def patches(images: np.ndarray) -> np.ndarray:
    """The 3 x 3 neighbours of every sample, (T, 8, 8, 9)."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2)).reshape(-1, N, N, 9)


def convolved(images: np.ndarray, filters: np.ndarray, biases: np.ndarray) -> np.ndarray:
    """What ReLU is given: a block for each image and channel, (T, C, 8, 8)."""
    return np.moveaxis(patches(images) @ filters + biases, -1, 1)


def exact(blocks: np.ndarray) -> np.ndarray:
    """ReLU and max pooling, (..., 4, 4)."""
    return asm_core.max_pool(asm_core.relu(blocks))


def by_asm(blocks: np.ndarray, n: int) -> np.ndarray:
    """Exact samples, of which the masks of approximate blocks choose."""
    mask = asm_core.approximate_nonnegative_mask(asm_core.block_dct(blocks), n)
    rectified = asm_core.masked_relu(blocks, mask)
    mask = asm_core.approximate_local_maximum_mask(asm_core.block_dct(rectified), n)
    return asm_core.masked_max_pool(rectified, mask)


def by_apx(blocks: np.ndarray, n: int) -> np.ndarray:
    """The operations on approximate blocks themselves."""
    rectified = asm_core.relu(asm_core.approximate(asm_core.block_dct(blocks), n))
    return asm_core.max_pool(asm_core.approximate(asm_core.block_dct(rectified), n))


def trained(images: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Filters, their biases, weights and their biases, by Adam (Kingma and Ba, 2015)."""
    rng = np.random.default_rng(0)
    pooled = CHANNELS * (N // 2) ** 2
    model = [rng.normal(0, 0.3, (9, CHANNELS)), np.zeros(CHANNELS),
             rng.normal(0, pooled**-0.5, (pooled, CLASSES)), np.zeros(CLASSES)]  # fmt: skip
    first, second = ([np.zeros_like(each) for each in model] for _ in range(2))
    seen, targets, steps = patches(images), np.eye(CLASSES)[labels], 0
    for _ in range(40):
        for batch in np.array_split(rng.permutation(len(images)), len(images) // 64):
            steps += 1
            gradients = backward(model, seen[batch], targets[batch])
            for k, gradient in enumerate(gradients):
                first[k] += 0.1 * (gradient - first[k])
                second[k] += 0.001 * (gradient**2 - second[k])
                mean, square = first[k] / (1 - 0.9**steps), second[k] / (1 - 0.999**steps)
                model[k] -= 0.003 * mean / (np.sqrt(square) + 1e-8)
    return model


def backward(model: list[np.ndarray], seen: np.ndarray, targets: np.ndarray) -> list[np.ndarray]:
    """The gradient of the mean cross entropy, by hand."""
    filters, biases, weights, offsets = model
    count = len(seen)
    blocks = np.moveaxis(seen @ filters + biases, -1, 1)
    mask = asm_core.local_maximum_mask(blocks) & (blocks > 0)
    pooled = exact(blocks).reshape(count, -1)
    scores = pooled @ weights + offsets
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    error = (shares / shares.sum(axis=1, keepdims=True) - targets) / count
    back = (error @ weights.T).reshape(count, CHANNELS, N // 2, N // 2)
    back = np.moveaxis(mask * back.repeat(2, axis=2).repeat(2, axis=3), 1, -1)
    return [
        np.tensordot(seen, back, axes=([0, 1, 2], [0, 1, 2])), back.sum(axis=(0, 1, 2)),
        pooled.T @ error, error.sum(axis=0),
    ]  # fmt: skip


def errors_of(folder: Path, name: str, blocks: np.ndarray, operation: str) -> np.ndarray:
    """Mean errors (algorithm, n) of an operation on blocks, every block a trial."""
    path = folder / f"{name}.npy"
    np.save(path, blocks.reshape(-1, N, N))
    dataset = sweep(
        source={name: {"kind": "array", "path": path}}, operation=operation,
        algorithm=["asm", "apx"], freqs=FREQS, results=folder,
    )  # fmt: skip
    curves = summarize(dataset).mean_error.squeeze(drop=True)
    return curves.sel(algorithm=["asm", "apx"]).transpose("algorithm", "freq").to_numpy()


digits = load_digits()
images, labels = digits.images / 16, digits.target
judged = np.arange(len(images)) % 5 == 0  # every fifth image is for the test
model = trained(images[~judged], labels[~judged])
filters, biases, weights, offsets = model
# In the unit of the largest sample, which the weights take back.
blocks = convolved(images[judged], filters, biases)
unit = np.abs(blocks).max()
blocks, weights = blocks / unit, weights * unit


def accuracy(pooled: np.ndarray) -> float:
    """The share of images whose class the network finds."""
    scores = pooled.reshape(len(pooled), -1) @ weights + offsets
    return float((scores.argmax(axis=1) == labels[judged]).mean())


with tempfile.TemporaryDirectory() as temporary:
    folder = Path(sys.argv[1] if sys.argv[1:] else temporary)
    folder.mkdir(exist_ok=True, parents=True)
    of_relu = errors_of(folder, "before_relu", blocks, "relu")
    of_pool = errors_of(folder, "before_pooling", asm_core.relu(blocks), "max_pool")
    correct = np.array([[accuracy(by(blocks, n)) for n in FREQS] for by in (by_asm, by_apx)])
    whole = accuracy(exact(blocks))
    print(f"{len(blocks)} images, {blocks.size // N**2:,} blocks; exact: {whole:.3f} correct")
    print("          ASM: error of           APX: error of")
    print(" n  kept  ReLU   pooling  correct  ReLU   pooling  correct")
    for n in FREQS:
        sides = [f"{of_relu[k, n]:.4f} {of_pool[k, n]:.4f}   {correct[k, n]:.3f}" for k in (0, 1)]
        print(f"{n:2} {asm_core.coefficients_kept(N, n):4}   {'    '.join(sides)}")
    if sys.argv[1:]:
        figure, (above, below) = plt.subplots(2, 1, sharex=True, layout="constrained")
        for k, name in enumerate(("ASM", "APX")):
            above.plot(FREQS, correct[k], f"C{k}", label=name)
            below.plot(FREQS, of_pool[k], f"C{k}", label=f"{name}, pooling")
            below.plot(FREQS, of_relu[k], f"C{k}--", label=f"{name}, ReLU")
        above.axhline(whole, color="grey", linewidth=0.8, label="exact")
        above.set(ylabel="share correct", ylim=(0, 1), title="A network on 8 x 8 digits")
        below.set(xlabel="spatial frequencies kept, n", ylabel="mean error of a block")
        above.legend(loc="lower right")
        below.legend()
        figure.savefig(folder / "digits.png", dpi=150)
