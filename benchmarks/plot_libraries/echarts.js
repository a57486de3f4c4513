function axis({ name, type, categories }) {
  const kind = { linear: "value", log: "log", category: "category", date: "time" }[type];
  return { name, type: kind, scale: true, ...(categories && { data: categories }) };
}

const zip = ({ x, y, color, at }) =>
  x.map((value, i) => (Array.isArray(color) ? { value: [value, y[i]], itemStyle: { color: color[i] } } : [value, y[i], at?.[i]]));

const kinds = {
  points: (layer) => ({ type: "scatter", symbolSize: 6, color: layer.color, data: zip(layer) }),
  steps: (layer) => ({ type: "line", step: "end", showSymbol: false, color: layer.color, data: zip(layer) }),
  bars: (layer) => ({ type: "bar", color: layer.color, data: layer.x }),
  spans: ({ x, until, y, color }) => ({
    type: "custom",
    encode: { x: [0, 1], y: 2 },
    data: x.map((from, i) => [from, until[i], y[i]]),
    renderItem: (_, api) => {
      const [left, middle] = api.coord([api.value(0), api.value(2)]);
      const right = api.coord([api.value(1), api.value(2)])[0];
      return { type: "rect", shape: { x: left, y: middle - 6, width: right - left, height: 12 }, style: { fill: color } };
    },
  }),
  cells: ({ columns, rows, color }) => ({
    type: "custom",
    data: rows.flatMap((row, i) => columns.map((left, j) => [left, row, columns[j + 1] ?? left, i, j])),
    renderItem: (_, api) => {
      const [x, middle] = api.coord([api.value(0), api.value(1)]);
      const [width, height] = [api.coord([api.value(2), api.value(1)])[0] - x, api.size([0, 1])[1]];
      const style = { fill: color[api.value(3)][api.value(4)] };
      return { type: "rect", shape: { x, y: middle - height / 2, width, height }, style };
    },
  }),
};

function draw(place, panel) {
  const chart = echarts.init(place);
  const title = { text: panel.title };
  if (panel.kind === "parallel") {
    chart.setOption({
      title,
      animation: false,
      parallelAxis: panel.dimensions.map(({ label }, dim) => ({ dim, name: label, scale: true })),
      series: {
        type: "parallel",
        data: panel.color.map((color, i) => ({ value: panel.dimensions.map(({ values }) => values[i]), lineStyle: { color } })),
      },
    });
    return;
  }
  const series = panel.layers.map((layer) => kinds[layer.kind](layer));
  chart.setOption({ title, animation: false, xAxis: axis(panel.x), yAxis: axis(panel.y), series });
}
