import { appendFileSync, readFileSync } from "node:fs";

const defaults = { rate: 0.1, momentum: 0.5, shuffle: true };
const given = process.env.ORCHESTUNE_PARAMS ? JSON.parse(readFileSync(process.env.ORCHESTUNE_PARAMS, "utf8")) : {};
const { rate, momentum, shuffle } = { ...defaults, ...given };

function report(metrics) {
  const line = JSON.stringify(metrics);
  if (process.env.ORCHESTUNE_METRICS) appendFileSync(process.env.ORCHESTUNE_METRICS, line + "\n");
  else console.log(line);
}

const points = Array.from({ length: 40 }, (_, i) => ({ x: i / 20 - 1, y: (3 * i) / 20 - 1 + Math.sin(i) / 5 }));
let [slope, offset, slopeSpeed, offsetSpeed] = [0, 0, 0, 0];
for (let step = 1; step <= 10; step++) {
  const order = shuffle ? points.map((_, i) => points[(i * 7) % points.length]) : points;
  for (const { x, y } of order) {
    const error = slope * x + offset - y;
    slopeSpeed = momentum * slopeSpeed - rate * error * x;
    offsetSpeed = momentum * offsetSpeed - rate * error;
    slope += slopeSpeed;
    offset += offsetSpeed;
  }
  const loss = points.reduce((sum, { x, y }) => sum + (slope * x + offset - y) ** 2, 0) / points.length;
  report({ step, loss: Number.isFinite(loss) ? loss : 1e9 });
}
