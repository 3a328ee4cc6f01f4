// What the pages share: finding a part of a figure, saving numbers, and waiting for Bokeh.
"use strict";
function byName(name) {
  return Bokeh.documents.map((each) => each.get_model_by_name(name)).find((x) => x);
}

// Offers rows as a CSV file; returns its text.
function saveCsv(name, rows) {
  const cell = (value) => (/[",\n]/.test(String(value))
    ? '"' + String(value).replace(/"/g, '""') + '"' : String(value));
  const text = rows.map((row) => row.map(cell).join(",")).join("\n") + "\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name + ".csv";
  link.click();
  URL.revokeObjectURL(link.href);
  return text;
}

// Calls `begin` once the figure or source of this name is there.
function whenReady(name, begin) {
  if (window.Bokeh && Bokeh.documents.length && byName(name)) {
    begin();
    document.body.dataset.ready = "true";
  } else setTimeout(() => whenReady(name, begin), 20);
}
