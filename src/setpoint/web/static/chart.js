// The charts of one objective: budget left and burn rate over the same time, drawn by uPlot from /history, with the
// service's events marked on the axis. Times are UTC. Without this script the server's own drawing stays.
"use strict";

(() => {
  const holder = document.getElementById("chart");
  if (!holder || !window.uPlot) return;

  const REFRESH_MS = 4000;
  const LABEL_WIDTH = 190;
  const AXIS_WIDTH = 62;
  const EVEN_BURN = 1; // spends exactly the budget over the window
  const isDark = matchMedia("(prefers-color-scheme: dark)");
  const pad = (number) => String(number).padStart(2, "0");
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  let history = null;
  let plots = [];
  let lastLoad = 0;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const signed = (text) => text.replace("-", "−");
  const figure = (value, digits) => signed(value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  const percent = (value) => (value == null ? "–" : `${figure(value * 100, Math.abs(value) < 0.1 && value !== 0 ? 1 : 0)} %`);
  const rate = (value) => (value == null ? "–" : `${figure(value, Math.abs(value) < 100 ? 1 : 0)}×`);
  const count = (value) => (value == null ? "–" : figure(value, Math.abs(value - Math.round(value)) < 0.05 ? 0 : 1));

  function instant(seconds, isLong) {
    const at = new Date(seconds * 1000);
    const hours = `${pad(at.getUTCHours())}:${pad(at.getUTCMinutes())}`;
    const date = `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}`;
    return isLong ? `${date} ${hours} UTC` : at.getUTCHours() + at.getUTCMinutes() === 0 ? date : hours;
  }

  // ---- what the cursor tells ---------------------------------------------------------------------------------------

  const readout = document.createElement("p");
  readout.className = "readout";

  function part(label, value) {
    const item = document.createElement("span");
    const strong = document.createElement("b");
    strong.textContent = value;
    item.append(`${label} `, strong);
    return item;
  }

  function tell(index) {
    const at = index ?? history.times_ms.length - 1;
    const when = history.times_ms[at];
    if (when == null) return;
    const bad = history.total[at] == null ? null : history.total[at] - history.good[at];
    const what = document.createElement("span");
    what.className = "what";
    what.textContent = index == null ? "" : near(when).map((event) => event.summary).join(" · ");
    readout.replaceChildren(
      part(index == null ? "newest" : "", instant(when / 1000, true)),
      part("budget left", percent(history.budget_left[at])),
      part("burn over 1 h", rate(history.burn[at])),
      history.has_data[at] ? part("bad", `${count(bad)} of ${count(history.total[at])}`) : part("", "no events in this slice"),
      what,
    );
  }

  function near(when) {
    const reach = (history.end_ms - history.start_ms) / 120;
    return history.events.filter((event) => Math.abs(event.at_ms - when) <= reach).slice(0, 3);
  }

  // ---- drawing -----------------------------------------------------------------------------------------------------

  const EVENT_COLOUR = { "demo.fault": "burn", "demo.heal": "ok", deploy: "accent" };

  function drawEvents(plot, hasLabels) {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.font = `${11 * ratio}px Inter, system-ui, sans-serif`;
    ctx.textBaseline = "top";
    ctx.textAlign = "left";
    ctx.lineWidth = ratio;
    ctx.setLineDash([2 * ratio, 3 * ratio]);
    const taken = []; // stretches of the axis that have a label
    for (const event of [...history.events].sort(byWeight)) {
      const x = Math.round(plot.valToPos(event.at_ms / 1000, "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = colour(EVENT_COLOUR[event.kind] || "none");
      ctx.beginPath();
      ctx.moveTo(x + 0.5, bbox.top - (hasLabels ? 4 * ratio : 0));
      ctx.lineTo(x + 0.5, bbox.top + bbox.height);
      ctx.stroke();
      if (!hasLabels) continue;
      const text = shortened(ctx, event.summary, LABEL_WIDTH * ratio);
      const width = ctx.measureText(text).width + 8 * ratio;
      const from = x + width > bbox.left + bbox.width ? x - width : x;
      if (taken.some(([start, end]) => from < end && from + width > start)) continue;
      taken.push([from, from + width]);
      ctx.fillStyle = colour("ink");
      ctx.fillText(text, from + 4 * ratio, bbox.top - 16 * ratio);
    }
    ctx.restore();
  }

  // What changed the service is labelled before what was merely noted about it; of equals, the newest.
  function byWeight(a, b) {
    const weight = (event) => (event.kind in EVENT_COLOUR ? 0 : event.kind === "objective.state" ? 1 : 2);
    return weight(a) - weight(b) || b.at_ms - a.at_ms;
  }

  function shortened(ctx, text, width) {
    if (ctx.measureText(text).width <= width) return text;
    let length = text.length;
    while (length > 4 && ctx.measureText(`${text.slice(0, length)}…`).width > width) length -= 1;
    return `${text.slice(0, length).trimEnd()}…`;
  }

  function drawEvenBurn(plot) {
    const y = plot.valToPos(EVEN_BURN, "y", true);
    const { ctx, bbox } = plot;
    if (y < bbox.top) return;
    ctx.save();
    ctx.strokeStyle = colour("burn");
    ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.restore();
  }

  function axes(format, hasTimes) {
    const common = { stroke: colour("soft"), font: "11px Inter, system-ui, sans-serif", ticks: { show: false } };
    const grid = { stroke: colour("rule"), width: 1 };
    return [
      { ...common, grid: { show: false }, size: hasTimes ? 30 : 8, space: 76, values: (_, splits) => splits.map((at) => (hasTimes ? instant(at, false) : "")) },
      { ...common, grid, size: AXIS_WIDTH, space: 34, values: (_, splits) => splits.map(format) },
    ];
  }

  function plot(height, column, range, format, hasTimes, draw) {
    const options = {
      width: holder.clientWidth,
      height,
      padding: [hasTimes ? 8 : 22, 10, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: "objective" }, y: false, drag: { setScale: false, x: false }, points: { size: 7 } },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: { x: { time: true, range: () => [history.start_ms / 1000, history.end_ms / 1000] }, y: { range } },
      axes: axes(format, hasTimes),
      series: [{}, { stroke: colour("accent"), width: 1.8, fill: colour("tint"), fillTo: 0, points: { show: false }, spanGaps: false }],
      hooks: { draw: [draw], setCursor: [(own) => own.cursor.event && tell(own.cursor.idx)] },
    };
    const made = new uPlot(options, table(column), holder);
    made.column = column;
    made.over.addEventListener("mouseleave", () => tell(null));
    return made;
  }

  const table = (column) => [history.times_ms.map((at) => at / 1000), history[column]];

  function build() {
    plots.forEach((old) => old.destroy());
    const name = document.createElement("p");
    name.className = "plot-name";
    name.textContent = "Burn rate over 1 h; the dotted 1× spends exactly the budget";
    holder.replaceChildren(readout);
    const budget = plot(236, "budget_left", (_, low) => [Math.min(0, (low ?? 0) * 1.08), 1], percent, false, (own) => drawEvents(own, true));
    holder.append(name);
    const burn = plot(120, "burn", (_, _low, high) => [0, Math.max(EVEN_BURN * 1.25, (high ?? 0) * 1.08)], rate, true, (own) => {
      drawEvenBurn(own);
      drawEvents(own, false);
    });
    plots = [budget, burn];
  }

  function hasSomething() {
    return history.budget_left.some((value) => value != null);
  }

  async function load() {
    lastLoad = Date.now();
    try {
      const answer = await fetch(holder.dataset.chart, { headers: { Accept: "application/json" } });
      if (!answer.ok) return;
      history = await answer.json();
    } catch {
      return; // the rail says that the connection is lost, and the next refresh tries again
    }
    if (!hasSomething()) return;
    if (!plots.length) build();
    else plots.forEach((own) => own.setData(table(own.column)));
    if (plots[0].cursor.idx == null || plots[0].cursor.left < 0) tell(null);
  }

  const rebuild = () => plots.length && build();
  isDark.addEventListener("change", rebuild);
  document.fonts?.ready.then(() => plots.forEach((own) => own.redraw()));
  new ResizeObserver(() => {
    const width = holder.clientWidth;
    plots.forEach((own) => own.width !== width && own.setSize({ width, height: own.height }));
  }).observe(holder);
  document.addEventListener("setpoint:refreshed", () => Date.now() - lastLoad >= REFRESH_MS && load());
  load();
})();
