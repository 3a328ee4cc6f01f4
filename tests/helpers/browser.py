"""Chromium without a window, for pages that are opened from a disk."""

import json
import time
from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from helpers.servers import install

# The view of the figure that is named by a script's first argument.
_VIEW = """
    const views = [];
    const visit = (view) => { views.push(view); (view.child_views || []).forEach(visit); };
    Object.values(Bokeh.index.roots || Bokeh.index).forEach(visit);
    const view = views.find((each) => each.model.name === arguments[0]);
"""


class Page:
    """A page in a browser, once its figures are there."""

    def __init__(self, driver, path):
        self.driver = driver
        # What is there is of the page before.
        self.log(), self.requests()
        driver.get(f"file://{path}")
        deadline = time.monotonic() + 60
        while driver.execute_script("return document.body.dataset.ready") != "true":
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def log(self):
        """What the page has said, but for what Bokeh says of itself."""
        return [
            each["message"] for each in self.driver.get_log("browser") if each["level"] != "INFO"
        ]

    def requests(self):
        """What was asked of a network or a disk; pictures inside the page are none."""
        events = [
            json.loads(each["message"])["message"] for each in self.driver.get_log("performance")
        ]
        urls = [
            each["params"]["request"]["url"]
            for each in events if each["method"] == "Network.requestWillBeSent"
        ]  # fmt: skip
        return [url for url in urls if not url.startswith(("data:", "blob:"))]

    def choose(self, name, value):
        """Use a switch, by the keyboard as much as by a mouse."""
        select = self.driver.find_element(By.ID, f"switch-{name}")
        self.run(
            "arguments[0].value = arguments[1];"
            "arguments[0].dispatchEvent(new Event('change'));", select, value,
        )  # fmt: skip

    def columns(self, name):
        """What a source of a figure holds."""
        script = """
            const source = Bokeh.documents.map(
                (each) => each.get_model_by_name(arguments[0])).find((found) => found);
            return Object.fromEntries(Object.entries(source.data).map(
                ([key, values]) => [key, Array.from(values)]));
        """
        return self.run(script, name)

    def painted(self, figure):
        """What is on the canvas of a figure, once it stays as it is for half a second."""
        script = _VIEW + "return view.canvas_view.primary.canvas.toDataURL();"
        before, since = None, time.monotonic()
        deadline = since + 30
        while time.monotonic() < since + 0.5:
            if (shown := self.run(script, figure)) != before:
                before, since = shown, time.monotonic()
            assert since < deadline, "it changes on and on"
            time.sleep(0.05)
        return before

    def repaint(self, figure):
        """Paint a figure once more."""
        self.run(_VIEW + "view.request_repaint();", figure)

    def hover(self, figure, x, y):
        """The text of the tooltip at a point of a figure, in its data's coordinates."""
        place = (
            _VIEW
            + """
            view.el.scrollIntoView({ block: "center" });
            const canvas = view.canvas_view.el.getBoundingClientRect();
            const frame = view.frame;
            return [canvas.left + frame.x_scale.compute(arguments[1]),
                    canvas.top + frame.y_scale.compute(arguments[2])];
        """
        )
        at = self.run(place, figure, x, y)
        actions = ActionChains(self.driver)
        for shift in (40, 1, 0):
            actions.w3c_actions.pointer_action.move_to_location(int(at[0]) + shift, int(at[1]))
        actions.perform()
        text = """
            const found = [];
            const visit = (node) => {
              if (node.classList && node.classList.contains("bk-Tooltip")) found.push(node);
              if (node.shadowRoot) Array.from(node.shadowRoot.children).forEach(visit);
              Array.from(node.children || []).forEach(visit);
            };
            visit(document.body);
            const words = (node) => (node.shadowRoot ? words(node.shadowRoot) : "")
              + (node.nodeType === 3 ? node.textContent + " "
                 : node.tagName === "STYLE" ? "" : Array.from(node.childNodes).map(words).join(""));
            return found.map(words).join(" ");
        """
        deadline = time.monotonic() + 10
        while not (said := self.run(text).strip()):
            assert time.monotonic() < deadline, "no tooltip"
            time.sleep(0.05)
        return said


@contextmanager
def browser(width=1200, height=1000, downloads=None):
    """A browser whose window has this size."""
    install("chromium", "chromium", "chromium-driver")
    options = webdriver.ChromeOptions()
    # As root, and without a graphics card or shared memory, as in a container.
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.add_argument(f"--window-size={width},{height}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    if downloads:
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    # Never one that selenium would fetch.
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        yield driver
    finally:
        driver.quit()
