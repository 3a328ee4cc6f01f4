"""Pages that do not move: what they say, and that they need nothing else."""

import re

import numpy as np
import pytest
import xarray as xr
from helpers.browser import browser
from selenium.webdriver.common.by import By

from pipeline import compare_results, sweep
from pipeline.analysis.claim import Claim
from pipeline.cli.main import main
from pipeline.show import figures, static


def curve(*points):
    """A summary along n of (mean, low, high)."""
    columns = zip(*points, strict=True)
    names = ("mean_error", "ci_low", "ci_high")
    variables = {name: ("freq", list(values)) for name, values in zip(names, columns, strict=True)}
    return xr.Dataset(variables, {"freq": range(len(points))})


CLAIM = Claim(
    title='"It" is <so>', said="somebody", experiment="Blocks", unit="error",
    curves={
        ("max pooling", "ASM"): curve((0.5, 0.49, 0.51), (0.2, 0.19, 0.21)),
        ("max pooling", "APX"): curve((0.3, 0.29, 0.31), (0.1, 0.09, 0.11)),
    },
    tests={
        ("max pooling", "APX"): curve((0.2, 0.19, 0.21), (0.1, 0.09, 0.11)),
        ("ReLU", "ASM"): curve((0.4, 0.39, 0.41), (0.3, 0.29, 0.31)),
    },
    verdict="confirmed", remark="A remark.",
)  # fmt: skip


def test_one_thing_has_one_look_on_both_sides_of_a_claim():
    left, right = figures.plot_claim(CLAIM).axes
    looks = [
        {line.get_label(): (line.get_color(), line.get_linestyle()) for line in axes.lines}
        for axes in (left, right)
    ]
    assert looks[0]["max pooling, APX"] == looks[1]["max pooling, APX"]
    assert len({*looks[0].values(), looks[1]["ReLU, ASM"]}) == 3


def test_the_page_of_the_claims_has_verdicts_numbers_and_pictures():
    text = static.page_of_claims([CLAIM, CLAIM])
    assert text.count("<strong>Verdict: confirmed.</strong>") == 2
    assert "1. &#34;It&#34; is &lt;so&gt;" in text
    assert "Said by: somebody. Blocks." in text
    assert "A remark." in text
    assert "<td>0</td><td>0.500 (0.490 to 0.510)</td><td>0.300 (0.290 to 0.310)</td>" in text
    assert text.count("data:image/png;base64,") == 2
    assert not re.findall(r'(?:src|href)="(?!data:)', text)


@pytest.fixture
def compared(elsewhere):
    for name, high in (("a", 1), ("b", 1.3)):
        sweep(
            source={"uniform": {"high": high}}, freqs=range(15), algorithm=["asm", "apx"],
            trials=800, out=f"{name}.zarr",
        )  # fmt: skip
    return elsewhere


def test_compare_writes_a_page_with_the_answer_the_picture_and_the_table(compared, capsys):
    assert main(["compare", "a.zarr", "b.zarr", "to=page.html"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "page.html"
    text = (compared / "page.html").read_text()
    found = compare_results("a.zarr", "b.zarr")
    count = int(found.significant.sum())
    assert f"{count} points of 28 differ by more than chance; compared as independent" in text
    assert "source.uniform.high: 1.0 -&gt; 1.3" in text
    rows = re.findall(r"<tr>(<td>.*?)</tr>", text)
    assert len(rows) == 30
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in rows]
    for row in cells:
        point = found.sel(algorithm=row[0], freq=int(row[1])).squeeze()
        assert (row[-1] == "yes") == bool(point.significant)
        assert float(row[4]) == pytest.approx(float(point["first"]), abs=5.1e-6)
    figure = static._plot(found)
    (axes,) = figure.axes
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    for name in ("asm", "apx"):
        assert np.array_equal(lines[name], found.sel(algorithm=name).mean_error.squeeze())


@pytest.mark.slow
def test_chromium_shows_both_pages_and_they_ask_for_nothing(compared):
    assert main(["compare", "a.zarr", "b.zarr", "to=compared.html"]) == 1
    (compared / "claims.html").write_text(static.page_of_claims([CLAIM]))
    with browser(width=375) as driver:
        for name in ("compared", "claims"):
            driver.get(f"file://{compared}/{name}.html")
            (picture,) = driver.find_elements(By.TAG_NAME, "img")
            assert int(picture.get_attribute("naturalWidth")) > 500
            assert picture.get_attribute("alt")
            wide = driver.execute_script(
                "return [document.documentElement.scrollWidth, window.innerWidth]"
            )
            assert wide[0] <= wide[1]
            log = driver.get_log("performance")
            urls = [url for each in log for url in re.findall(r'"url":"([^"]+)"', each["message"])]
            assert {url for url in urls if not url.startswith(("data:", "about:"))} <= {
                f"file://{compared}/{name}.html"
            }
            assert driver.get_log("browser") == []
