// Switches of the page: which curves are shown, against what, on which axis.  No library but Bokeh,
// whose figures have a source for each of a few lines; here the sources get their numbers.
(function () {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const SLOTS = data.slots;
  const COLOURS = data.colours;
  const axes = Object.keys(data.axes).filter((axis) => data.axes[axis].length > 1);
  const state = {};

  function option(select, value, text) {
    const made = document.createElement("option");
    made.value = value;
    made.textContent = text;
    select.append(made);
  }

  function addSwitch(key, title, values, chosen) {
    const label = document.createElement("label");
    label.textContent = title;
    const select = document.createElement("select");
    select.id = "switch-" + key;
    values.forEach(([value, text]) => option(select, value, text));
    select.value = chosen;
    state[key] = chosen;
    select.addEventListener("change", () => { state[key] = select.value; show(); });
    label.append(select);
    document.getElementById("switches").append(label);
  }

  function label(place, names) {
    if (!names.length) return "";
    return names.map((axis) => (axis === "block_size" ? place[axis] + " x " + place[axis] : place[axis]))
      .join(", ");
  }

  // Curves that fit the switches: those of the axis that is drawn as lines, at the chosen values of
  // the others.
  function chosen(list) {
    return list.filter((each) => axes.every((axis) =>
      axis === state.lines || each.place[axis] === undefined
      || String(each.place[axis]) === state["axis-" + axis])).slice(0, SLOTS);
  }

  function x_of(curve) {
    if (state.x === "share") return curve.kept.map((kept) => kept / curve.place.block_size ** 2);
    return curve.n;
  }

  function put(name, k, columns) {
    const source = byName(name + "-" + k);
    if (source) source.data = columns;
  }

  function positive(values) { return values.map((value) => (value > 0 ? value : NaN)); }

  function number(value) { return value === null || Number.isNaN(value) ? NaN : value; }

  function columns_of(curve, metric) {
    const x = x_of(curve);
    const y = curve[metric].map(number);
    const has_ends = metric === "mean_error";
    const low = has_ends ? curve.ci_low.map(number) : y;
    const high = has_ends ? curve.ci_high.map(number) : y;
    const floor = y.map((value) => (value > 0 ? value / 1000 : NaN));
    return {
      x, y, low, high, n: curve.n, kept: curve.kept,
      name: x.map(() => label(curve.place, named())),
      log_y: positive(y), log_high: positive(high),
      log_low: low.map((value, k) => (value > 0 ? value : floor[k])),
      trials: curve.measured,
    };
  }

  function named() { return state.lines === "" ? [] : [state.lines]; }

  function legend(id, names) {
    const list = document.getElementById(id);
    if (!list) return;
    list.replaceChildren(...names.map((name, k) => {
      const item = document.createElement("li");
      item.innerHTML = '<svg width="34" height="10" aria-hidden="true"><line x1="0" x2="34" y1="5" y2="5" '
        + 'stroke-width="3" stroke="' + COLOURS[k][0] + '" stroke-dasharray="' + COLOURS[k][1] + '"/></svg>';
      item.append(name);
      return item;
    }));
  }

  const EMPTY = {
    curves: ["x", "y", "low", "high", "n", "kept", "name", "log_y", "log_high", "log_low", "trials"],
    differences: ["x", "y", "low", "high", "name"],
    compared: ["x", "y", "low", "high", "name"],
  };
  function empty(name) {
    return Object.fromEntries(EMPTY[name].map((column) => [column, []]));
  }

  const rows = { curves: [], compared: [], histogram: [], differences: [], convergence: [] };

  function show_curves() {
    const list = chosen(data.curves);
    const metric = state.metric;
    rows.curves = [["name", "n", "coefficients_kept", metric, "ci_low", "ci_high", "trials"]];
    for (let k = 0; k < SLOTS; k++) {
      const columns = k < list.length ? columns_of(list[k], metric) : empty("curves");
      put("curves", k, columns);
      columns.x.forEach((_, i) => rows.curves.push([columns.name[i], columns.n[i], columns.kept[i],
        columns.y[i], columns.low[i], columns.high[i], columns.trials[i]]));
    }
    const above = list.flatMap((each) => each[metric]).filter((value) => value > 0);
    const range = byName("curves-log-range");
    range.start = Math.min(...above, 1) / 2;
    range.end = Math.max(...above, range.start * 2) * 2;
    legend("legend-curves", list.map((each) => label(each.place, named()) || each.place.algorithm));
    byName("curves-linear").visible = state.scale === "linear";
    byName("curves-log").visible = state.scale === "log";
    for (const figure of ["curves-linear", "curves-log"]) {
      byName(figure + "-x").axis_label = data.x_labels[state.x];
      byName(figure + "-y").axis_label = data.metrics[metric];
    }
    document.getElementById("caption-curves").textContent = [data.metrics[metric],
      ...axes.filter((axis) => axis !== state.lines).map((axis) => state["axis-" + axis])].join(", ") + ".";
    show_table(list);
    return list;
  }

  function fill_table(id, headings, rows) {
    const table = document.createElement("table");
    const add = (cells, kind) => {
      const row = table.insertRow();
      cells.forEach((cell) => {
        const made = document.createElement(kind);
        made.textContent = cell;
        row.append(made);
      });
    };
    add(headings, "th");
    rows.forEach((cells) => add(cells, "td"));
    document.getElementById(id).replaceChildren(table);
  }

  function text(value) { return value === null ? "-" : Number(value).toPrecision(5); }

  function ends(curve, k) { return text(curve.ci_low[k]) + " .. " + text(curve.ci_high[k]); }

  function show_table(list) {
    const headings = ["", "n", "kept", "mean error", "95 % interval", "mask accuracy", "regret", "trials"];
    fill_table("table", headings, list.flatMap((curve) => curve.n.map((n, k) => [
      label(curve.place, named()), n, curve.kept[k], text(curve.mean_error[k]), ends(curve, k),
      text(curve.mask_accuracy[k]), text(curve.regret[k]), curve.measured[k].toLocaleString("en"),
    ])));
  }

  // Curves of the two stores that are compared lie in one place: their difference has no store.
  function show_compared() {
    if (!data.compared.length) return;
    const list = chosen(data.compared);
    const names = list.map((each) => label(each.place, named().filter((axis) => axis in each.place))
      || "difference");
    fill_lines("compared", list, names);
    const headings = ["", "n", "difference", "95 % interval, all together", "first", "second", "trials",
      "more than chance"];
    fill_table("table-compared", headings, list.flatMap((each, i) => each.n.map((n, k) => [
      names[i], n, text(each.mean_error[k]), ends(each, k), text(each.first[k]), text(each.second[k]),
      each.measured[k].toLocaleString("en"), each.significant[k] ? "yes" : "no",
    ])));
  }

  function show_histogram(curve) {
    const source = byName("histogram-0");
    const at = curve && curve.histograms[state.freq];
    rows.histogram = [["from", "to", "blocks"]];
    const caption = document.getElementById("caption-histogram");
    if (!at) {
      source.data = { left: [], right: [], top: [] };
      caption.textContent = "No trials are kept one by one.";
      return;
    }
    const width = (at.high > at.low ? at.high - at.low : 1) / at.counts.length;
    const left = at.counts.map((_, k) => at.low + k * width);
    const right = left.map((value) => value + width);
    source.data = { left, right, top: at.counts };
    left.forEach((value, k) => rows.histogram.push([value, right[k], at.counts[k]]));
    caption.textContent = label(curve.place, axes) + ", n = " + state.freq + ": half of the blocks are "
      + "below " + at.median.toPrecision(4) + ", the largest error is " + at.high.toPrecision(4) + ".";
  }

  // Lines of differences with their intervals, their legend, and what is saved of them.
  function fill_lines(figure, list, names) {
    rows[figure] = [["name", "n", "difference", "ci_low", "ci_high"]];
    for (let k = 0; k < SLOTS; k++) {
      const each = list[k];
      const columns = each ? {
        x: each.n, y: each.mean_error.map(number), low: each.ci_low.map(number),
        high: each.ci_high.map(number), name: each.n.map(() => names[k]),
      } : empty(figure);
      put(figure, k, columns);
      columns.x.forEach((n, i) => rows[figure].push(
        [columns.name[i], n, columns.y[i], columns.low[i], columns.high[i]]));
    }
    legend("legend-" + figure, names);
  }

  function show_differences() {
    if (!data.differences.length) return;
    const list = chosen(data.differences);
    const names = list.map((each) => ["asm - " + each.rival, label(each.place, named().filter(
      (axis) => each.place[axis] !== undefined && axis !== "algorithm"))].filter((x) => x).join(", "));
    fill_lines("differences", list, names);
    document.getElementById("caption-differences").textContent = list.map((each, k) => names[k] + ": "
      + (each.crossing === null ? "asm is the smaller at no n for good" : "asm is the smaller from n = "
        + each.crossing.n + " on (95 % interval " + each.crossing.low + " to "
        + (each.crossing.high === null ? "later" : each.crossing.high) + ")")).join("; ") + ".";
  }

  function show_convergence(curve) {
    const found = curve && data.convergences.find((each) =>
      Object.keys(each.place).every((axis) => each.place[axis] === curve.place[axis]));
    const caption = document.getElementById("caption-convergence");
    rows.convergence = [["trials", "mean_error", "ci_low", "ci_high", "standard_error", "expected"]];
    if (!found) {
      put("convergence", 0,
        { x: [], y: [], low: [], high: [], error: [], expected: [], from: [], to: [] });
      caption.textContent = "";
      return;
    }
    const columns = {
      x: found.trials, y: found.mean_error.map(number), low: found.ci_low.map(number),
      high: found.ci_high.map(number), error: found.standard_error.map(number),
      expected: found.expected_standard_error.map(number),
    };
    const last = columns.y[columns.y.length - 1];
    columns.from = columns.expected.map((value) => last - 1.96 * value);
    columns.to = columns.expected.map((value) => last + 1.96 * value);
    put("convergence", 0, columns);
    columns.x.forEach((x, k) => rows.convergence.push([x, columns.y[k], columns.low[k], columns.high[k],
      columns.error[k], columns.expected[k]]));
    caption.textContent = label(curve.place, axes) + ", n = " + found.freq + ": the estimate after so many "
      + "trials with its 95 % interval, and dashed how far it would reach by the law of 1 / sqrt(trials).";
  }

  function show() {
    const list = show_curves();
    show_compared();
    show_histogram(list[0]);
    show_differences();
    show_convergence(list[0]);
  }

  function begin() {
    const lines = data.compared.length && axes.includes("store") ? "store"
      : axes.includes("algorithm") ? "algorithm" : axes[axes.length - 1] || "";
    if (axes.length) {
      addSwitch("lines", "lines", axes.map((axis) => [axis, axis.replace("_", " ")]), lines);
    } else { state.lines = ""; }
    axes.forEach((axis) => addSwitch("axis-" + axis, axis.replace("_", " "),
      data.axes[axis].map((value) => [String(value), String(value)]), String(data.axes[axis][0])));
    addSwitch("metric", "number", Object.entries(data.metrics), "mean_error");
    addSwitch("x", "against", Object.entries(data.x_labels), "n");
    addSwitch("scale", "scale", [["linear", "linear"], ["log", "logarithmic"]], "linear");
    const freqs = chosen(data.curves)[0].n;
    addSwitch("freq", "n of the distribution", data.freqs.map((n) => [String(n), String(n)]),
      String(freqs[Math.floor(freqs.length / 2)]));
    document.querySelectorAll("button[data-csv]").forEach((button) =>
      button.addEventListener("click", () => saveCsv(button.dataset.csv, rows[button.dataset.csv])));
    show();
  }

  whenReady("curves-0", begin);
})();
