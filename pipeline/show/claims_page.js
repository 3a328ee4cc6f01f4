// Switches of the page of the claims: which lines are shown, against what, on which axis.
(function () {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const PANELS = ["curves", "log", "tests"];
  const each_figure = (act) => data.claims.forEach((_, k) => PANELS.forEach(
    (panel) => act(byName(panel + "-" + (k + 1)), panel)));

  function against(x) {
    each_figure((figure, panel) => {
      const sources = new Set(figure.renderers.map((each) => each.data_source));
      [...sources].filter((source) => x in source.data).forEach((source) => {
        source.data = { ...source.data, x: Array.from(source.data[x]) };
      });
      byName(figure.name + "-x").axis_label = data.x_labels[x];
    });
  }

  function scale(chosen) {
    each_figure((figure, panel) => {
      if (panel !== "tests") figure.visible = (panel === "log") === (chosen === "log");
    });
  }

  function show(claim, name, visible) {
    PANELS.forEach((panel) => byName(panel + "-" + claim).renderers
      .filter((each) => each.name === name).forEach((each) => { each.visible = visible; }));
  }

  function rows_of(figure) {
    const [panel, claim] = figure.split("-");
    const columns = ["freq", "share_kept", "mean_error", "ci_low", "ci_high"];
    return [["name", ...columns], ...data.claims[claim - 1][panel].flatMap((line) =>
      line.freq.map((_, k) => [line.name, ...columns.map((key) => line[key][k] ?? "")]))];
  }

  whenReady("curves-1", () => {
    // Shown until now, since of a hidden figure Bokeh finds no range.
    scale("linear");
    document.getElementById("switch-x").addEventListener("change", (event) => against(event.target.value));
    document.getElementById("switch-scale").addEventListener("change", (event) => scale(event.target.value));
    document.querySelectorAll("input[data-claim]").forEach((box) =>
      box.addEventListener("change", () => show(box.dataset.claim, box.value, box.checked)));
    document.querySelectorAll("button[data-csv]").forEach((button) =>
      button.addEventListener("click", () => saveCsv(button.dataset.csv, rows_of(button.dataset.csv))));
  });
})();
