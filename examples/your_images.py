"""Max pooling of a folder of your own images: python examples/your_images.py FOLDER.

Without FOLDER it takes one that it makes: sixteen parts of the photograph that matplotlib ships.
"""

import sys
import tempfile
from pathlib import Path

import matplotlib.cbook
from PIL import Image

from pipeline import crossing, summarize, sweep


def some_images(folder: Path) -> Path:
    """Write parts of 128 x 128 samples into a new folder, as PNG files."""
    folder.mkdir()
    path = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    with Image.open(path) as photograph:
        for k in range(16):
            x, y = 128 * (k % 4), 128 * (k // 4)
            photograph.crop((x, y, x + 128, y + 128)).save(folder / f"part-{k:02}.png")
    return folder


with tempfile.TemporaryDirectory() as temporary:
    images = Path(sys.argv[1]) if sys.argv[1:] else some_images(Path(temporary, "images"))
    # All tiles of all images; results=FOLDER keeps what was measured.
    results = Path(temporary, "results")
    dataset = sweep(source={"images": {"path": images}}, freqs=range(15), results=results)
    curve = summarize(dataset).squeeze().to_dataframe()
    print(f"{dataset.sizes['trial']:,} tiles of 8 x 8 samples")
    print(curve[["coefficients_kept", "mean_error", "ci_low", "ci_high"]].round(4))
    tenth = crossing(dataset, share=0.1).squeeze()
    low, high = tenth.ci_low.item(), tenth.ci_high.item()
    print(f"a tenth of the error at n = 0: from n = {tenth.crossing.item():.0f} on", end=" ")
    print(f"(95 % interval {low:.0f} to {high:.0f})")
