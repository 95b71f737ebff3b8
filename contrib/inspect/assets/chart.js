// A chart of the last two minutes, by uPlot.
'use strict';

const seconds = 120;
const charts = new Set();
const color = name => () => getComputedStyle(document.documentElement).getPropertyValue('--' + name);

// short writes a number for an axis or a table.
const short = n => n >= 1e6 ? (n / 1e6).toFixed(1) + 'M' : n >= 1e4 ? (n / 1e3).toFixed(1) + 'k' : n >= 10 || Number.isInteger(n) ? Math.round(n).toString() : n.toFixed(1);

const clock = time => new Date(time * 1000).toLocaleTimeString([], { minute: '2-digit', second: '2-digit' });

// A Chart shows some lines over time in an element, and grows with it.
class Chart {
  constructor(parent, lines, height, times) {
    const axis = more => ({ stroke: color('muted'), grid: { stroke: color('grid'), width: 1 }, ticks: { show: false }, font: '11px system-ui', ...more });
    const options = {
      width: parent.clientWidth || 300, height,
      legend: { show: false }, cursor: { show: false }, padding: [6, 18, times ? 0 : 6, 0],
      scales: { x: { range: (u, low, high) => [high - seconds, high] }, y: { range: (u, low, high) => [0, Math.max(high * 1.15, 4)] } },
      axes: [axis({ show: times, size: 20, space: 70, values: (u, times) => times.map(clock) }), axis({ size: 46, space: 22, values: (u, values) => values.map(short) })],
      series: [{}, ...lines.map(name => ({ stroke: color(name), width: 1.5, dash: name === 'out' ? [5, 4] : [], points: { show: false } }))],
    };
    this.data = [[], ...lines.map(() => [])];
    this.plot = new uPlot(options, this.data, parent);
    new ResizeObserver(() => this.plot.setSize({ width: parent.clientWidth, height })).observe(parent);
    charts.add(this);
  }

  add(time, ...values) {
    [time, ...values].forEach((v, i) => this.data[i].push(v));
    while (this.data[0][0] < time - seconds) this.data.forEach(line => line.shift());
    this.plot.setData(this.data);
  }
}

// Lines are drawn with the colours of the time: again when those change.
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => charts.forEach(c => c.plot.redraw(false)));
