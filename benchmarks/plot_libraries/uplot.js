// It has no horizontal bars, no areas between categories and no parallel coordinates: these are not drawn.

function numbers({ categories }, values) {
  return categories ? values.map((value) => categories.indexOf(value)) : values;
}

function draw(place, panel) {
  if (panel.kind === "parallel" || panel.layers.some(({ kind }) => kind === "spans" || kind === "cells")) return false;
  const parts = panel.layers.map((layer) => {
    const upright = layer.kind === "bars";
    const [x, y] = [numbers(panel.x, layer.x), numbers(panel.y, layer.y)];
    return upright ? [y, x] : [x, y];
  });
  const tables = parts.map(([x, y]) => {
    const order = x.map((_, i) => i).sort((a, b) => x[a] - x[b]);
    return [order.map((i) => x[i]), order.map((i) => y[i])];
  });
  const scales = { x: { time: false, distr: panel.x.type === "log" ? 3 : 1 } };
  const series = panel.layers.map(({ kind, color }) => {
    const stroke = Array.isArray(color) ? color[0] : color; // it has one colour for all points of a series
    if (kind === "bars") return { stroke, fill: stroke, paths: uPlot.paths.bars() };
    if (kind === "steps") return { stroke, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } };
    return { stroke, paths: () => null, points: { show: true, size: 6, fill: stroke } };
  });
  const data = tables.length === 1 ? tables[0] : uPlot.join(tables);
  const hidden = { legend: { show: false }, cursor: { show: false } };
  new uPlot({ ...hidden, width: place.clientWidth, height: 280, title: panel.title, scales, series: [{}, ...series] }, data, place);
}
