const types = { linear: "quantitative", log: "quantitative", category: "nominal", date: "temporal" };

function channel(field, { name, type }) {
  return { field, type: types[type], title: name, scale: { zero: false, ...(type === "log" && { type: "log" }) } };
}

function rows({ x, y, until, color }) {
  return x.map((value, i) => ({ x: value, y: y[i], until: until?.[i], color: Array.isArray(color) ? color[i] : color }));
}

const kinds = {
  points: { type: "circle", size: 36 },
  steps: { type: "line", interpolate: "step-after" },
  bars: { type: "bar" },
  spans: { type: "bar" },
  cells: { type: "rect" },
};

function unit(layer, panel) {
  const color = { field: "color", type: "nominal", scale: null };
  const encoding = { x: channel("x", panel.x), y: channel("y", panel.y), color };
  if (layer.kind === "spans") encoding.x2 = { field: "until" };
  if (layer.kind !== "cells") return { data: { values: rows(layer) }, mark: kinds[layer.kind], encoding };
  const { columns, rows: names, color: fill } = layer;
  const cell = (row, i, column, j) => ({ x: column, until: columns[j + 1] ?? column, y: row, color: fill[i][j] });
  const values = names.flatMap((row, i) => columns.map((column, j) => cell(row, i, column, j)));
  return { data: { values }, mark: kinds.cells, encoding: { ...encoding, x2: { field: "until" } } };
}

function parallel({ dimensions, color }) {
  const values = dimensions.flatMap(({ label, values: column }) => {
    const [low, high] = column.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
    return column.map((value, i) => ({ label, trial: i, value: (value - low) / (high - low || 1), color: color[i] }));
  });
  return {
    data: { values },
    mark: { type: "line", opacity: 0.4 },
    encoding: {
      x: { field: "label", type: "nominal" },
      y: { field: "value", type: "quantitative" },
      detail: { field: "trial" },
      color: { field: "color", type: "nominal", scale: null },
    },
  };
}

async function draw(place, panel) {
  const size = { width: place.clientWidth - 80, height: 240, title: panel.title };
  const view = panel.kind === "parallel" ? parallel(panel) : { layer: panel.layers.map((layer) => unit(layer, panel)) };
  const { spec } = vegaLite.compile({ ...size, ...view });
  const view = new vega.View(vega.parse(spec), { renderer: "canvas" });
  await view.initialize(place).runAsync();
}
