"""The page of the claims."""

import pytest
import xarray as xr

from pipeline.analysis.claims import Claim
from pipeline.show import claims


def curve(first, *points):
    """A summary along n, from `first` on, of (mean, low, high)."""
    columns = zip(*points, strict=True)
    names = ("mean_error", "ci_low", "ci_high")
    variables = {name: ("freq", list(values)) for name, values in zip(names, columns, strict=True)}
    return xr.Dataset(variables, {"freq": range(first, first + len(points))})


def cell(*point):
    return claims.cell_of(curve(0, point), 0)


def test_a_rounded_zero_has_no_sign():
    assert cell(1e-4, -1e-6, 2e-4) == "0.00010 (0.00000 to 0.00020)"


@pytest.mark.parametrize(
    ("point", "text"),
    [
        ((0.5, 0.49, 0.51), "0.500 (0.490 to 0.510)"),
        ((123.456, 100.0, 150.0), "123 (100 to 150)"),
        ((1.0, 1.0, 1.0), "1"),
        ((0.25, float("nan"), float("nan")), "0.25"),
        ((-1e-17, -1e-17, -1e-17), "0"),
    ],
)
def test_a_number_has_the_digits_that_its_interval_lets_stand(point, text):
    assert cell(*point) == text


def test_the_page_has_a_row_for_every_n_and_links_a_picture_where_there_is_one():
    claim = Claim(
        title="It is so", said="somebody", experiment="Blocks", unit="error",
        curves={
            ("one", "ASM"): curve(0, (1, 1, 1), (2, 2, 2)),
            ("other",): curve(1, (3, 3, 3), (4, 4, 4)),
        },
        tests={("one minus other",): curve(1, (-1, -1, -1))}, verdict="refuted", remark="A remark.",
    )  # fmt: skip
    page = claims.claims_page([claim], "figures/claim-{k}.png")
    for line in ("## 1. It is so", "**Verdict: refuted.**", "Said by: somebody. Blocks.",
                 "A remark.", "![Claim 1](figures/claim-1.png)"):  # fmt: skip
        assert f"\n{line}\n" in page
    assert (
        "| n | one, ASM | other |\n|--:|--:|--:|\n| 0 | 1 |  |\n| 1 | 2 | 3 |\n| 2 |  | 4 |\n"
        in page
    )
    assert page.endswith("Tested:\n\n| n | one minus other |\n|--:|--:|\n| 1 | -1 |\n")
    assert "![" not in claims.claims_page([claim])
