"""A page about stores: its numbers, and what Chromium makes of it."""

import csv
import json
import math
import re
import time

import numpy as np
import pytest
from helpers.browser import Page, browser
from helpers.stores import prepare
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import pipeline
from pipeline import UserError, compare_results, open_results, summarize, sweep
from pipeline.cli.main import main
from pipeline.planning.axes import CURVE_NAMES


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    dataset = sweep(
        block_size=[4, 8], operation=["max_pool", "relu"], algorithm=["asm", "apx"],
        freqs=range(15), trials=3000, unit_trials=1024, out=str(folder / "s.zarr"),
    )  # fmt: skip
    path = pipeline.report(dataset.attrs["store"], to=folder / "page.html")
    return dataset, path


def numbers_of(path):
    """What the script of a page reads."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return json.loads(found), text


def same(found, expected):
    return found == (None if math.isnan(expected) else expected)


def test_a_page_has_the_numbers_of_summarize_in_full(stored):
    dataset, path = stored
    data, _ = numbers_of(path)
    summary = summarize(dataset)
    assert len(data["curves"]) == 8
    for curve in data["curves"]:
        at = summary.sel({axis: curve["place"][axis] for axis in CURVE_NAMES})
        assert curve["n"] == list(range(2 * curve["place"]["block_size"] - 1))
        for k, n in enumerate(curve["n"]):
            point = at.sel(freq=n)
            assert curve["kept"][k] == int(point.coefficients_kept)
            for name in ("mean_error", "ci_low", "ci_high", "mask_accuracy", "regret"):
                assert same(curve[name][k], float(point[name])), name
        counts = np.array(curve["histograms"]["3"]["counts"])
        errors = dataset.error.sel({axis: curve["place"][axis] for axis in CURVE_NAMES}).sel(freq=3)
        values = errors.to_numpy().astype(float)
        assert np.array_equal(counts, np.histogram(values, len(counts))[0])
        assert curve["histograms"]["3"]["median"] == pytest.approx(np.median(values), rel=1e-5)


def test_a_page_says_the_answer_first_and_how_to_repeat_it(stored):
    dataset, path = stored
    data, text = numbers_of(path)
    curve = summarize(dataset).sel(block_size=4, operation="max_pool", algorithm="asm").squeeze()
    tenth = pipeline.crossing(dataset, share=0.1)
    tenth = tenth.sel(block_size=4, operation="max_pool", algorithm="asm").squeeze()
    mean = float(curve.mean_error.sel(freq=0))
    assert int(tenth.crossing) == int(tenth.ci_low) == int(tenth.ci_high)
    assert (
        f"ASM max_pool, uniform, 4 x 4: the mean error is {mean:.3g} at n = 0, and below a tenth "
        f"of that from n = {int(tenth.crossing)} on."
    ) in text
    assert dataset.attrs["description"] in text
    assert dataset.attrs["command"] in text
    difference = pipeline.compare(dataset, "algorithm", "asm", "apx")
    ends = pipeline.crossing(difference, below=0)
    for each in data["differences"]:
        at = {axis: each["place"][axis] for axis in ("block_size", "operation")}
        assert same(each["crossing"] and each["crossing"]["n"], ends.sel(at).crossing.item())
        assert (
            each["mean_error"]
            == difference.mean_error.sel(at).squeeze().to_numpy()[: len(each["n"])].tolist()
        )


def test_a_page_asks_nothing_of_a_network(stored):
    _, text = numbers_of(stored[1])
    page = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert "@import" not in page
    assert "url(" not in page


def test_many_curves_and_several_stores_make_a_small_page(tmp_path):
    many = sweep(
        block_size=[4, 8], operation=["max_pool", "relu", "min_pool", "leaky_relu"],
        selection=["triangle", "zigzag", "square", "energy"], algorithm=["asm", "apx"],
        source={f"s{k}": {"kind": "uniform", "low": -k} for k in range(10)},
        freqs=range(15), trials=50, out=str(tmp_path / "many.zarr"),
    )  # fmt: skip
    other = sweep(seed=1, trials=50, out=str(tmp_path / "other.zarr"))
    path = pipeline.report([many.attrs["store"], other.attrs["store"]], to=tmp_path / "p.html")
    data, text = numbers_of(path)
    assert len(data["curves"]) == 641
    assert data["axes"]["store"] == ["many", "other"]
    assert len(text) < 5_000_000


def test_what_is_not_kept_is_left_out(tmp_path):
    dataset = sweep(
        trials=300, freqs=range(15), store_trials="none", algorithm=["asm", "apx"],
        out=str(tmp_path / "s.zarr"),
    )  # fmt: skip
    data, text = numbers_of(pipeline.report(dataset.attrs["store"], to=tmp_path / "p.html"))
    assert [curve["histograms"] for curve in data["curves"]] == [{}, {}]
    assert data["differences"] == []
    assert "From the best block to the worst" not in text
    summary = summarize(dataset.attrs["store"]).squeeze()
    expected = float(summary.mean_error.sel(freq=3, algorithm="asm"))
    assert data["curves"][0]["mean_error"][3] == expected


def test_a_path_in_a_page_cannot_be_code(tmp_path):
    store = tmp_path / "<img src=x onerror=alert(1)>.zarr"
    sweep(trials=20, freqs=[1], out=str(store))
    _, text = numbers_of(pipeline.report(store, to=tmp_path / "p.html"))
    assert "alert(1)" in text
    assert "<img src=x" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["to=page.pdf"], "to=page.pdf must be a file that ends in .html"),
        (["to="], "is no path"),
        (["to=file/page.html"], "cannot write "),
        (["s.zarr", "s2.zarr"], "where the page goes is not said: give to=FILE.html"),
        (["empty.zarr", "to=p.html"], "has no trials yet: sweep it first"),
    ],
)
def test_a_page_that_cannot_be_written_is_refused(elsewhere, capsys, words, said):
    for name in ("s", "s2"):
        sweep(trials=30, freqs=[1, 2], out=f"{name}.zarr")
    (elsewhere / "file").write_text("")
    prepare(elsewhere / "empty.zarr", "trials=30")
    before = sorted(path.name for path in elsewhere.iterdir())
    assert main(["report", *(words if "zarr" in words[0] else ["s.zarr", *words])]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert sorted(path.name for path in elsewhere.iterdir()) == before


def test_the_verb_writes_the_page_beside_the_store(elsewhere, capsys):
    sweep(trials=30, freqs=[1, 2], out="s.zarr")
    assert main(["report", "s.zarr"]) == 0
    assert capsys.readouterr().out == f"{elsewhere}/s.html\n"
    assert (elsewhere / "s.html").read_text().startswith("<!DOCTYPE html>")
    with pytest.raises(UserError, match="is not a store of this program"):
        pipeline.report("nowhere.zarr", to="p.html")


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with browser(downloads=tmp_path_factory.mktemp("downloads")) as made:
        yield made


@pytest.mark.slow
def test_chromium_asks_for_nothing_and_says_nothing(stored, driver):
    page = Page(driver, stored[1])
    for name, values in (
        ("scale", "log"),
        ("x", "share"),
        ("metric", "regret"),
        ("lines", "operation"),
    ):
        page.choose(name, values)
    assert page.log() == []
    assert page.requests() == [f"file://{stored[1]}"]


@pytest.mark.slow
def test_a_figure_has_nothing_left_of_what_it_was_before(stored, driver):
    page = Page(driver, stored[1])
    for change in (None, ("metric", "regret"), ("axis-operation", "max_pool")):
        if change:
            page.choose(*change)
        for figure in ("curves-linear", "histogram", "convergence", "differences"):
            shown = page.painted(figure)
            page.repaint(figure)
            assert page.painted(figure) == shown


@pytest.mark.slow
def test_hovering_shows_the_value_that_the_store_holds(stored, driver):
    dataset, path = stored
    page = Page(driver, path)
    page.choose("axis-block_size", "8")
    point = summarize(dataset).sel(
        block_size=8, operation="max_pool", algorithm="asm", freq=6
    ).squeeze()  # fmt: skip
    said = page.hover("curves-linear", 6, float(point.mean_error))
    assert "asm" in said
    assert "6 (28 kept)" in said
    assert f"{float(point.mean_error):.6f}" in said
    assert f"{float(point.ci_low):.6f} .. {float(point.ci_high):.6f}" in said
    assert "3,000" in said


@pytest.mark.slow
def test_switching_an_axis_changes_the_curve(stored, driver):
    dataset, path = stored
    page = Page(driver, path)
    summary = summarize(dataset)
    for size in (4, 8):
        for operation in ("relu", "max_pool"):
            page.choose("axis-block_size", str(size))
            page.choose("axis-operation", operation)
            at = {"block_size": size, "operation": operation, "algorithm": "asm"}
            curve = summary.sel(at).squeeze().isel(freq=slice(0, 2 * size - 1))
            found = page.columns("curves-0")
            assert found["y"] == curve.mean_error.to_numpy().tolist()
            assert found["x"] == list(range(2 * size - 1))
            page.choose("x", "share")
            assert page.columns("curves-0")["x"] == curve.share_kept.to_numpy().tolist()
            page.choose("x", "n")
    page.choose("lines", "block_size")
    names = [page.columns(f"curves-{k}")["name"][:1] for k in range(3)]
    assert names == [["4 x 4"], ["8 x 8"], []]
    legend = driver.find_element(By.ID, "legend-curves").text.split("\n")
    assert legend == ["4 x 4", "8 x 8"]


@pytest.mark.slow
def test_an_error_of_0_is_left_out_of_the_logarithmic_axis(stored, driver):
    page = Page(driver, stored[1])
    page.choose("scale", "log")
    found = page.columns("curves-0")
    assert found["y"][-1] == 0
    assert found["log_y"][-1] is None
    assert all(value > 0 for value in found["log_y"][:-1])
    heights = page.run(
        "return ['curves-linear', 'curves-log'].map((name) => Bokeh.documents.map("
        "(d) => d.get_model_by_name(name)).find((x) => x).visible);"
    )
    assert heights == [False, True]


@pytest.mark.slow
def test_the_data_of_a_figure_is_saved_as_csv(stored, driver, tmp_path):
    dataset, path = stored
    driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    page = Page(driver, path)
    page.choose("axis-block_size", "8")
    driver.find_element(By.CSS_SELECTOR, 'button[data-csv="curves"]').send_keys(Keys.ENTER)
    deadline = time.monotonic() + 20
    while not (tmp_path / "curves.csv").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with open(tmp_path / "curves.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    curve = summarize(dataset).sel(block_size=8, operation="max_pool", algorithm="asm").squeeze()
    found = [float(row["mean_error"]) for row in rows if row["name"] == "asm"]
    assert found == curve.mean_error.to_numpy().tolist()


@pytest.mark.slow
def test_a_page_is_read_by_keyboard_in_the_dark_and_on_a_phone(stored, driver):
    page = Page(driver, stored[1])
    reached = []
    for _ in range(12):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(
            page.run("return document.activeElement.id || document.activeElement.tagName")
        )
    switches = [name for name in reached if name.startswith("switch-")]
    assert switches[:4] == ["switch-lines", "switch-axis-block_size", "switch-axis-operation",
                            "switch-axis-algorithm"]  # fmt: skip
    pictures = driver.find_elements(By.CSS_SELECTOR, "img, [role=img]")
    assert len(pictures) >= 7
    assert all(each.get_attribute("alt") or each.get_attribute("aria-label") for each in pictures)
    for dark in (False, True):
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        paper, ink = page.run(
            "const style = getComputedStyle(document.body);"
            "return [style.backgroundColor, style.color];"
        )
        # Axes of figures are in one grey, which must be told from both.
        for colour in (ink, "rgb(125, 125, 125)"):
            assert contrast(paper, colour) > (7 if colour == ink else 3.9), (dark, colour)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    phone = {"width": 375, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        page = Page(driver, stored[1])
        wide = page.run("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert wide[0] <= wide[1]
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def contrast(one, other):
    """That of the guidelines for accessible content of the web, WCAG 2.1."""

    def luminance(colour):
        rgb = np.array([int(word) for word in re.findall(r"\d+", colour)[:3]]) / 255
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.slow
def test_the_printed_page_has_its_figures_and_no_switches(stored, driver):
    page = Page(driver, stored[1])
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        shown = page.run("return getComputedStyle(document.getElementById('switches')).display")
        assert shown == "none"
        assert driver.find_element(By.ID, "curves").size["height"] > 200
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert open_results(stored[0].attrs["store"]).sizes["trial"] == 3000


@pytest.fixture
def compared(elsewhere):
    for name, high in (("a", 1), ("b", 1.3)):
        sweep(
            source={"uniform": {"high": high}}, freqs=range(15), block_size=[4, 8],
            algorithm=["asm", "apx"], trials=800, out=f"{name}.zarr",
        )  # fmt: skip
    assert main(["compare", "a.zarr", "b.zarr", "to=page.html"]) == 1
    return elsewhere / "page.html", compare_results("a.zarr", "b.zarr")


def test_compare_writes_a_page_with_the_answer_and_every_difference(capsys, compared):
    path, found = compared
    assert capsys.readouterr().out.splitlines()[-1] == "page.html"
    data, text = numbers_of(path)
    count = int(found.significant.sum())
    assert f"{count} points of {found.attrs['points']} differ by more than chance." in text
    assert "compared as independent samples" in text
    assert "source.uniform.high: 1.0 -&gt; 1.3" in text
    assert len(data["compared"]) == 4
    for curve in data["compared"]:
        assert curve["n"] == list(range(2 * curve["place"]["block_size"] - 1))
        at = found.sel(curve["place"])
        for name in ("mean_error", "ci_low", "ci_high", "first", "second", "significant"):
            values = at[name].sel(freq=curve["n"]).to_numpy()
            assert all(map(same, curve[name], values.tolist())), name
    # The page of either store alone has none of it.
    alone, text = numbers_of(pipeline.report("a.zarr", to="alone.html"))
    assert alone["compared"] == []
    assert "The difference, point by point" not in text


def test_compare_of_two_algorithms_writes_a_page_with_the_verdict(elsewhere, capsys):
    sweep(algorithm=["asm", "apx"], freqs=range(15), trials=2000, out="a.zarr")
    assert main(["compare", "a.zarr", "algorithm=asm,apx", "to=page.html"]) == 0
    verdict = next(line for line in capsys.readouterr().out.splitlines() if "Verdict" in line)
    assert "worse than apx for n = 0..8" in verdict
    data, text = numbers_of("page.html")
    assert f'<p class="answer" id="answer">{verdict}</p>' in text
    assert "What differs in how they were made" not in text
    assert [len(curve["n"]) for curve in data["compared"]] == [15]


@pytest.mark.slow
def test_chromium_shows_the_differences_of_the_chosen_curves(compared, driver):
    path, found = compared
    page = Page(driver, path)
    # The two stores are lines of the upper figure; the lower has their difference.
    assert [page.columns(f"curves-{k}")["name"][:1] for k in range(3)] == [["a"], ["b"], []]
    page.choose("axis-block_size", "8")
    page.choose("lines", "algorithm")
    for k, algorithm in enumerate(["asm", "apx"]):
        line = found.sel(block_size=8, algorithm=algorithm).squeeze()
        columns = page.columns(f"compared-{k}")
        assert columns["y"] == line.mean_error.to_numpy().tolist()
        assert columns["low"] == line.ci_low.to_numpy().tolist()
    cells = driver.find_elements(By.CSS_SELECTOR, "#table-compared tr:nth-child(2) td")
    line = found.sel(block_size=8, algorithm="asm", freq=0).squeeze()
    assert [cell.text for cell in cells][-2:] == ["800", "yes" if line.significant else "no"]
    assert page.log() == []
    assert page.requests() == [f"file://{path}"]
