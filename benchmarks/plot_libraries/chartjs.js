// It has no areas between categories and no parallel coordinates: these are not drawn.

const kinds = {
  points: ({ x, y, color }) => ({ type: "scatter", data: x.map((value, i) => ({ x: value, y: y[i] })), backgroundColor: color }),
  steps: ({ x, y, color }) => ({
    type: "line",
    data: x.map((value, i) => ({ x: value, y: y[i] })),
    stepped: true,
    pointRadius: 0,
    borderColor: color,
  }),
  bars: ({ x, y, color }) => ({ type: "bar", data: x.map((value, i) => ({ x: value, y: y[i] })), backgroundColor: color }),
  spans: ({ x, until, y, color }) => ({
    type: "bar",
    grouped: false,
    data: x.map((value, i) => ({ x: [value, until[i]], y: y[i] })),
    backgroundColor: color,
  }),
};

function scale({ name, type, categories }) {
  const kind = { linear: "linear", log: "logarithmic", category: "category", date: "linear" }[type];
  return { type: kind, title: { display: true, text: name }, ...(categories && { labels: categories }) };
}

function draw(place, panel) {
  if (panel.kind === "parallel" || panel.layers.some(({ kind }) => kind === "cells")) return false;
  const begin = panel.layers.flatMap(({ kind, x }) => (kind === "spans" ? x : [])).sort((a, b) => a - b)[0];
  const lying = panel.layers.some(({ kind }) => kind === "bars" || kind === "spans");
  new Chart(place.appendChild(document.createElement("canvas")), {
    data: { datasets: panel.layers.map((layer) => kinds[layer.kind](layer)) },
    options: {
      animation: false,
      maintainAspectRatio: false,
      plugins: { legend: { display: false }, title: { display: true, text: panel.title } },
      indexAxis: lying ? "y" : "x",
      scales: { x: { position: "bottom", min: begin, ...scale(panel.x) }, y: scale(panel.y) },
    },
  });
}
