"""The page of the claims: what it says, and what its switches do in Chromium."""

import csv
import re
import time

import pytest
import xarray as xr
from helpers.browser import Page, browser
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from pipeline.analysis.claim import Claim
from pipeline.show.claims import plot_claim
from pipeline.show.claims_page import page_of_claims


def curve(*points):
    """A summary along n of (mean, low, high)."""
    columns = zip(*points, strict=True)
    names = ("mean_error", "ci_low", "ci_high")
    variables = {name: ("freq", list(values)) for name, values in zip(names, columns, strict=True)}
    share = [(n + 1) / 10 for n in range(len(points))]
    return xr.Dataset(variables, {"freq": range(len(points)), "share_kept": ("freq", share)})


CLAIM = Claim(
    title='"It" is <so>', said="somebody", experiment="Blocks", unit="error",
    curves={
        ("max pooling", "ASM"): curve((0.5, 0.49, 0.51), (0.2, 0.19, 0.21), (0, 0, 0)),
        ("max pooling", "APX"): curve((0.3, 0.29, 0.31), (0.1, -0.09, 0.11), (0, 0, 0)),
    },
    tests={
        ("max pooling", "APX"): curve((-0.2, -0.21, -0.19), (-0.1, -0.11, -0.09)),
        ("ReLU", "ASM"): curve((0.4, 0.39, 0.41), (0.3, 0.29, 0.31)),
    },
    verdict="confirmed", remark="A remark.", level=0.1,
)  # fmt: skip


def test_one_thing_has_one_look_on_both_sides_of_a_claim():
    left, right = plot_claim(CLAIM).axes
    looks = [
        {line.get_label(): (line.get_color(), line.get_linestyle()) for line in axes.lines}
        for axes in (left, right)
    ]
    assert looks[0]["max pooling, APX"] == looks[1]["max pooling, APX"]
    assert len({*looks[0].values(), looks[1]["ReLU, ASM"]}) == 4


def test_the_page_has_verdicts_and_numbers_and_asks_for_nothing():
    text = page_of_claims([CLAIM, CLAIM])
    assert text.count("<strong>Verdict: confirmed.</strong>") == 2
    assert "1. &#34;It&#34; is &lt;so&gt;" in text
    assert "Said by: somebody. Blocks." in text
    assert "A remark." in text
    assert "<td>0</td><td>0.500 (0.490 to 0.510)</td><td>0.300 (0.290 to 0.310)</td>" in text
    page = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The page of two claims in a browser, and the folder where it saves files."""
    folder = tmp_path_factory.mktemp("claims")
    (folder / "claims.html").write_text(page_of_claims([CLAIM, CLAIM]))
    with browser(downloads=folder) as driver:
        yield lambda: Page(driver, folder / "claims.html"), folder


def lines_of(page, figure):
    """What a figure shows: whether it is seen, and the visible lines with their x and y."""
    script = """
        const figure = byName(arguments[0]);
        const lines = figure.renderers.filter((each) => each.glyph.type === "Line" && each.visible);
        return [figure.visible, Object.fromEntries(lines.map((each) => [each.name,
            [Array.from(each.data_source.data.x), Array.from(each.data_source.data.y)]]))];
    """
    return page.run(script, figure)


@pytest.mark.slow
def test_the_switches_change_all_figures(shown):
    page = shown[0]()
    asm, apx = "max pooling, ASM", "max pooling, APX"
    assert lines_of(page, "curves-1") == [
        True, {asm: [[0, 1, 2], [0.5, 0.2, 0]], apx: [[0, 1, 2], [0.3, 0.1, 0]]}
    ]  # fmt: skip
    assert lines_of(page, "log-1")[0] is False
    page.choose("scale", "log")
    assert lines_of(page, "curves-2")[0] is False
    assert lines_of(page, "log-2") == [
        True, {asm: [[0, 1, 2], [0.5, 0.2, None]], apx: [[0, 1, 2], [0.3, 0.1, None]]}
    ]  # fmt: skip
    assert lines_of(page, "tests-1")[0] is True
    page.choose("x", "share")
    for figure in ("curves-1", "log-2", "tests-2"):
        xs = {tuple(x) for x, _ in lines_of(page, figure)[1].values()}
        assert xs <= {(0.1, 0.2, 0.3), (0.1, 0.2)}
    assert page.run("return byName('tests-2-x').axis_label") == "share of coefficients kept"
    page.choose("x", "n")
    assert lines_of(page, "tests-1")[1]["ReLU, ASM"] == [[0, 1], [0.4, 0.3]]
    assert page.log() == []
    assert [url.rsplit("/", 1)[1] for url in page.requests()] == ["claims.html"]


@pytest.mark.slow
def test_a_line_is_hidden_by_keyboard_in_all_figures_of_its_claim(shown):
    page = shown[0]()
    box = page.driver.find_element(
        By.CSS_SELECTOR, 'input[data-claim="1"][value="max pooling, APX"]'
    )
    box.send_keys(Keys.SPACE)
    for figure in ("curves-1", "log-1", "tests-1"):
        assert "max pooling, APX" not in lines_of(page, figure)[1]
        assert len(lines_of(page, figure)[1]) == 1
    assert "max pooling, APX" in lines_of(page, "curves-2")[1]


@pytest.mark.slow
def test_hovering_shows_the_number_and_its_interval(shown):
    page = shown[0]()
    said = page.hover("curves-1", 1, 0.1)
    for words in ("max pooling, APX", "0.100000", "-0.090000 .. 0.110000"):
        assert words in said


@pytest.mark.slow
def test_the_numbers_of_a_figure_are_saved(shown):
    page, folder = shown[0](), shown[1]
    page.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)}
    )
    page.driver.find_element(By.CSS_SELECTOR, 'button[data-csv="tests-2"]').send_keys(Keys.ENTER)
    deadline = time.monotonic() + 20
    while not (folder / "tests-2.csv").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with open(folder / "tests-2.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["freq"], float(row["mean_error"])) for row in rows] == [
        ("max pooling, APX", "0", -0.2), ("max pooling, APX", "1", -0.1),
        ("ReLU, ASM", "0", 0.4), ("ReLU, ASM", "1", 0.3),
    ]  # fmt: skip


@pytest.mark.slow
def test_the_page_fits_a_phone(shown):
    page = shown[0]()
    phone = {"width": 375, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        page = shown[0]()
        wide = page.run("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert wide[0] <= wide[1]
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
