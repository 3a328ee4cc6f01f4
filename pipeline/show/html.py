"""What pages share: templates, Bokeh's script, axes and colours for light and dark."""

import base64
import io
import json
import math
from importlib.resources import files
from typing import Any

from bokeh.plotting import figure
from bokeh.resources import Resources
from jinja2 import Environment, select_autoescape
from markupsafe import Markup
from matplotlib.figure import Figure

# Legible on white and on black.
GREY = "#7d7d7d"
# Bokeh's dashes as SVG has them, in legends.
DASHES = {"solid": "", "dashed": "9 5", "dotdash": "9 4 2 4", "dotted": "2 4"}
X_LABELS = {"n": "spatial frequencies kept, n", "share": "share of coefficients kept"}
_TOOLS = "pan,wheel_zoom,box_zoom,reset,save"


def filled(name: str, **values: Any) -> str:
    """A template of this folder with its values; text becomes HTML that shows it."""
    template = Environment(autoescape=select_autoescape(default=True)).from_string(_file(name))
    page: str = template.render(style=Markup(_file("page.css")), bokeh=_bokeh(), **values)
    return page


def script_of(name: str) -> Markup:
    """A script of this folder, with what all pages share before it."""
    return Markup(f"{_file('common.js')}\n{_file(name)}")


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _bokeh() -> Markup:
    """Bokeh's own script, without its widgets, tables and WebGL, which are three times as large."""
    return Markup(Resources(mode="inline", components=["bokeh"]).render())


def json_of(value: Any) -> str:
    """JSON as it can stand in a page, where a < could end the script."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def numbers_of(values: Any, digits: int | None = None) -> list[Any]:
    """The numbers of an array, of so many digits, as JSON has them."""
    return [number_of(value, digits) for value in values.tolist()]


def number_of(value: Any, digits: int | None = None) -> Any:
    """A number as JSON has it; not a number is null."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return value if digits is None else float(f"{value:.{digits}g}")


def axes_of(name: str, **options: Any) -> Any:
    """Axes without a colour of their own, so that they are legible on white and on black."""
    made = figure(
        name=name, height=380, sizing_mode="stretch_width", tools=_TOOLS,
        # No outline: on a transparent frame Bokeh 3.9 strokes with it the ticks of before, too.
        background_fill_alpha=0, border_fill_alpha=0, outline_line_color=None, **options,
    )  # fmt: skip
    made.xaxis[0].name, made.yaxis[0].name = f"{name}-x", f"{name}-y"
    for axis in made.axis:
        axis.axis_label_text_color = axis.major_label_text_color = GREY
        axis.axis_line_color = axis.major_tick_line_color = GREY
        axis.minor_tick_line_color = None
    made.grid.grid_line_color, made.grid.grid_line_alpha = GREY, 0.25
    made.toolbar.logo = None
    return made


def png_of(picture: Figure) -> str:
    """A picture as the text of a PNG file in base 64."""
    written = io.BytesIO()
    picture.savefig(written, format="png", dpi=70)
    return base64.b64encode(written.getvalue()).decode()
