"""How often the 95 % interval holds the mean of images: `python benchmarks/coverage_images.py`.

Images are drawn, so that the mean over all that could be drawn is known: textures whose samples or
whose contrast are alike over few or many samples, and sets of images that differ in contrast, in
size, or in both.  Max pooling by ASM, 8 x 8 blocks, n = 0, 6 and 13.  The page goes to
FOLDER/COVERAGE_IMAGES.md (results), from so many images or sets of each kind (1000, about five
minutes on one core): `python benchmarks/coverage_images.py FOLDER NUMBER`.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.signal import lfilter
from timing import table

import asm_core
from asm_core.batches import sums_by_batch
from asm_core.intervals import interval_of
from asm_core.moments import MOMENTS, moments_of
from pipeline.planning.tiles import Tiles
from pipeline.sources.tiling import groups, pick, strips

SIZE, FREQS, SAMPLE = 8, (0, 6, 13), 1000
HEIGHT, WIDTH = 600, 512
# Sides of the images of a set.
SIDE = 128


def texture(random, height, width, length):
    """Normal samples whose correlation falls by e over `length` samples, in both directions."""
    rho = np.exp(-1 / length)
    samples = random.normal(size=(height, width))
    for axis in (0, 1):
        inner = [slice(None)] * 2
        inner[axis] = slice(1, None)
        samples[tuple(inner)] *= np.sqrt(1 - rho**2)
        samples = lfilter([1], [1, -rho], samples, axis=axis)
    return samples


def one_image(length, contrast=None):
    """A kind of picture: the texture's length; spread and length of the logarithm of contrast."""

    def draw(random):
        image = texture(random, HEIGHT, WIDTH, length)
        if contrast is not None:
            spread, over = contrast
            image *= np.exp(spread * texture(random, HEIGHT, WIDTH, over))
        return [image]

    return draw


def set_of_images(number, spread):
    """A set of pictures of one size, each of a contrast of its own."""
    return set_of_sizes([(SIDE, SIDE)] * number, spread)


def set_of_sizes(shapes, spread, length=20):
    """A set of pictures of some sizes, each of a contrast of its own."""

    def draw(random):
        levels = np.exp(spread * random.normal(size=len(shapes)))
        pairs = zip(levels, shapes, strict=True)
        return [level * texture(random, *shape, length) for level, shape in pairs]

    return draw


KINDS = {
    "one texture, alike over 20 samples": one_image(20),
    "one texture, alike over 200 samples": one_image(200),
    "one texture, contrast alike over 20 samples": one_image(20, (0.5, 20)),
    "one texture, contrast alike over 60 samples": one_image(20, (0.5, 60)),
    "one texture, strong contrast alike over 60 samples": one_image(20, (1.0, 60)),
    "2 images of different contrast": set_of_images(2, 0.5),
    "3 images of different contrast": set_of_images(3, 0.5),
    "8 images of different contrast": set_of_images(8, 0.5),
    "40 images of different contrast": set_of_images(40, 0.5),
}
# Shapes of sets whose images differ in size.
UNEQUAL = {
    "320 x 400 and 10 of 8 x 8": [(320, 400), *[(8, 8)] * 10],
    "320 x 400 and 40 of 8 x 8": [(320, 400), *[(8, 8)] * 40],
    "600 x 512 and one of 32 x 32": [(600, 512), (32, 32)],
    "600 x 512 and 3 of 80 x 80": [(600, 512), *[(80, 80)] * 3],
    "320 x 200 and 9 of 80 x 80": [(320, 200), *[(80, 80)] * 9],
    "8 sizes, 64 x 64 to 240 x 240": [
        (side, side) for side in (64, 80, 96, 120, 144, 176, 208, 240)
    ],
}
KINDS |= {f"{name}, of noise": set_of_sizes(shapes, 0.0, 0.1) for name, shapes in UNEQUAL.items()}
KINDS |= {
    f"{name}, of different contrast": set_of_sizes(shapes, 0.5) for name, shapes in UNEQUAL.items()
}


def tiles_of(images):
    """How the tiles of images are batched, as sources have it."""
    grids = [(image.shape[0] // SIZE, image.shape[1] // SIZE) for image in images]
    ends = np.cumsum([down * across for down, across in grids])
    widths = {across for _, across in grids}
    return Tiles(
        int(ends[-1]),
        widths.pop() if len(widths) == 1 else 1,
        strips(*grids[0]) if len(grids) == 1 else groups(ends),
    )


def intervals(images, tiles):
    """Mean and ends by n: of independent tiles, and ours of all tiles and of a sample of them."""
    each = [image.shape[0] // SIZE * (image.shape[1] // SIZE) for image in images]
    blocks = np.concatenate(
        [pick(image[None], SIZE, np.arange(n)) for image, n in zip(images, each, strict=True)]
    )
    errors = asm_core.errors_by_frequency(blocks, FREQS)
    sample = tiles.spread("seed")
    taken = min(SAMPLE, tiles.count)
    some = errors[:, sample.of_trials(0, taken)]
    independent = interval_of(moments_of(errors))
    ours = [
        interval_of(moments_of(values), sums_by_batch(values, batch), least=0.0)
        for values, batch in (
            (errors, tiles.batch_of(0, tiles.count)),
            (some, sample.batch_of(0, taken)),
        )
    ]
    return moments_of(errors)[:, MOMENTS.index("mean")], np.array([independent, *ours])[:, 1:]


def coverage(draw, number, seed=0):
    """Shares of images, in %, whose interval holds the mean (interval, n), and their widths."""
    random = np.random.default_rng(seed)
    tiles = tiles_of(draw(random))
    found = [intervals(draw(random), tiles) for _ in range(number)]
    means, ends = (np.array(each) for each in zip(*found, strict=True))
    truth = means.mean(axis=0)
    held = (ends[:, :, 0] <= truth) & (truth <= ends[:, :, 1])
    width = np.median(ends[:, :, 1] - ends[:, :, 0], axis=0) / (2 * 1.96 * means.std(axis=0))
    return 100 * held.mean(axis=0), width


PREFACE = """\
The share of {number:,} images, or sets of images, in %, whose 95 % interval holds the mean over all
that could be drawn. Three numbers are of n = 0, 6 and 13. Max pooling by ASM, 8 x 8 blocks; single
images of {height} x {width} samples, and sets of images of {side} x {side}, or of unequal sizes: of
noise, all tiles of which are independent, or each of a contrast of its own. Where one image has
nearly all tiles, the others are few, and its interval is wide. "Independent" takes
tiles as independent; "all tiles" and "{sample:,} tiles" are those of batches of neighbours, as
every table shows them: {strips} strips of an image, or images as they are. In brackets, the median
width of these intervals over what it would be if it were known how means vary."""


def main():
    """Draw, measure, print the page and write it."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
    number = int(float(sys.argv[2])) if len(sys.argv) > 2 else 1000
    lines = []
    for name, draw in KINDS.items():
        held, width = coverage(draw, number)
        cells = [" / ".join(f"{share:.0f}" for share in each) for each in held]
        widths = [" / ".join(f"{each:.1f}" for each in row) for row in width]
        lines.append(
            [name, cells[0], *(f"{c} ({w})" for c, w in zip(cells[1:], widths[1:], strict=True))]
        )
    headings = ["", "independent", "all tiles", f"{SAMPLE:,} tiles"]
    page = "\n\n".join(
        [
            "# How often the 95 % interval of images holds",
            "`python benchmarks/coverage_images.py` prints and writes this page.",
            PREFACE.format(
                number=number, height=HEIGHT, width=WIDTH, side=SIDE, sample=SAMPLE,
                strips=len(strips(HEIGHT // SIZE, WIDTH // SIZE)),
            ),
            table(headings, lines),
        ]
    )  # fmt: skip
    print(page)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "COVERAGE_IMAGES.md").write_text(page + "\n")


if __name__ == "__main__":
    main()
