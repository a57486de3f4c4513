const kinds = {
  points: (figure, { x, y, color }) => figure.scatter(x, y, { size: 6, color, line_color: null }),
  steps: (figure, { x, y, color }) => figure.step(x, y, "after", { color, line_width: 2 }),
  bars: (figure, { x, y, color }) => figure.hbar({ y, right: x, left: 0, height: 0.8, color }),
  spans: (figure, { x, until, y, color }) => figure.hbar({ y, left: x, right: until, height: 0.6, color }),
  cells: (figure, { columns, rows, z, color }) => {
    const cells = rows.flatMap((y, i) => columns.map((left, j) => ({ y, left, right: columns[j + 1] ?? left, color: color[i][j] })));
    const column = (name) => cells.map((cell) => cell[name]);
    figure.hbar({ y: column("y"), left: column("left"), right: column("right"), height: 1, color: column("color") });
  },
};

async function draw(place, panel) {
  const { Plotting } = Bokeh;
  const scale = { linear: "linear", log: "log", date: "datetime" };
  const size = { width: place.clientWidth, height: 320, title: panel.title, output_backend: window.backend };
  const tools = "pan,box_select,save,reset";
  if (panel.kind === "parallel") {
    const figure = Plotting.figure({ ...size, tools });
    const parts = panel.dimensions.map(({ values }) => {
      const [low, high] = values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
      return values.map((value) => (value - low) / (high - low || 1));
    });
    const xs = panel.color.map(() => parts.map((_, at) => at));
    figure.multi_line(xs, panel.color.map((_, i) => parts.map((part) => part[i])), { color: panel.color, alpha: 0.4 });
    await Plotting.show(figure, place);
    return;
  }
  const figure = Plotting.figure({
    ...size,
    tools,
    ...(panel.x.categories ? { x_range: panel.x.categories } : { x_axis_type: scale[panel.x.type] }),
    ...(panel.y.categories ? { y_range: panel.y.categories } : { y_axis_type: scale[panel.y.type] }),
  });
  for (const layer of panel.layers) kinds[layer.kind](figure, layer);
  await Plotting.show(figure, place);
}
