// The charts of one objective: budget left and burn rate over the same time, drawn by uPlot from /history, with the
// service's events marked on the axis. Times are UTC. Without this script the server's own drawing stays.
"use strict";

(() => {
  if (location.hash === "#explain") document.getElementById("explain").open = true;

  const holder = document.getElementById("chart");
  const ranges = document.getElementById("ranges"); // says which history; follows the page while that grows
  if (!holder || !ranges || !window.uPlot) return;

  const REFRESH_MS = 1500;
  const AXIS_WIDTH = 62;
  const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 7200, 10080].map((minutes) => minutes * 60);
  const { MONTHS, colour, drawEvents, pad } = plotting;
  const EVEN_BURN = 1; // spends exactly the budget over the window
  const isDark = matchMedia("(prefers-color-scheme: dark)");
  let history = null;
  let plots = [];
  let lastLoad = 0;

  const signed = (text) => text.replace("-", "−");
  const figure = (value, digits) => signed(value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  const percent = (value) => {
    if (value == null) return "–";
    const digits = Math.abs(value) < 0.1 && value !== 0 ? 1 : 0; // rounded down, as everywhere on the page
    return `${figure(Math.floor(value * 100 * 10 ** digits + 1e-7) / 10 ** digits, digits)} %`;
  };
  const sli = (value) => `${figure(value >= 1 ? 100 : Math.floor(value * 1e5 + 1e-7) / 1e3, value >= 1 ? 0 : 3)} %`;
  const rate = (value) => (value == null ? "–" : `${figure(value, Math.abs(value) < 100 ? 1 : 0)}×`);
  const count = (value) => (value == null ? "–" : figure(value, Math.abs(value - Math.round(value)) < 0.05 ? 0 : 1));

  function span(seconds) {
    const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([least]) => seconds >= least) || [1, "s"];
    return `${Math.round(seconds / size)} ${unit}`;
  }

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
    what.textContent = index == null ? "" : [...adjustedAt(when), ...near(when).map((event) => event.summary)].join(" · ");
    readout.replaceChildren(
      part(index == null ? "newest" : "", instant(when / 1000, true)),
      part("budget left", percent(history.budget_left[at])),
      part(`burn over ${span(history.burn_s)}`, rate(history.burn[at])),
      history.has_data[at] ? part(`in ${slice(at)}`, `${count(bad)} bad of ${count(history.total[at])}`) : part(`in ${slice(at)}`, `no ${history.unit}`),
      history.has_data[at] && history.total[at] > 0 ? part("SLI", sli(history.good[at] / history.total[at])) : "",
      what,
    );
  }

  const slice = (at) => span((history.times_ms[at] - (history.times_ms[at - 1] ?? history.start_ms)) / 1000);

  const DONE = { exclude: "left out", good: "counted good", correction: "corrected" };

  function adjustedAt(when) {
    const reach = (history.end_ms - history.start_ms) / 240;
    return history.adjusted
      .filter((one) => one.start_ms - reach < when && when <= one.end_ms + reach)
      .map((one) => `${DONE[one.action]}: ${one.name}, ${one.reason}`);
  }

  function near(when) {
    const reach = (history.end_ms - history.start_ms) / 120;
    return history.events.filter((event) => Math.abs(event.at_ms - when) <= reach).slice(0, 3);
  }

  // ---- drawing -----------------------------------------------------------------------------------------------------

  // Behind the line: the time with a fault, and the time without events, in which the line only holds its last value.
  function drawGround(plot) {
    const { ctx, bbox } = plot;
    const inside = (ms) => Math.min(Math.max(plot.valToPos(ms / 1000, "x", true), bbox.left), bbox.left + bbox.width);
    const band = (from, to) => ctx.fillRect(inside(from), bbox.top, inside(to) - inside(from), bbox.height);
    ctx.save();
    ctx.fillStyle = colour("burn");
    ctx.globalAlpha = 0.09;
    for (const [from, to] of faults()) band(from, to);
    ctx.fillStyle = colour("soft");
    ctx.globalAlpha = 0.16;
    for (const one of history.adjusted) band(one.start_ms, one.end_ms);
    ctx.fillStyle = hatched(ctx);
    ctx.globalAlpha = 0.5;
    for (const [from, to] of silences()) band(from, to);
    ctx.restore();
  }

  function faults() {
    const stretches = [];
    let from = null;
    for (const event of [...history.events].sort((a, b) => a.at_ms - b.at_ms)) {
      if (event.kind === "demo.fault") from ??= event.at_ms;
      if (event.kind !== "demo.heal" || from === null) continue;
      stretches.push([from, event.at_ms]);
      from = null;
    }
    return from === null ? stretches : [...stretches, [from, history.end_ms]];
  }

  // A newest slice without events may only be young, so it counts with the one before it.
  function silences() {
    const times = history.times_ms;
    const stretches = [];
    let from = null;
    for (let at = 1; at <= times.length; at += 1) {
      const isSilent = at < times.length && !history.has_data[at] && history.budget_left[at] != null && history.budget_left[at - 1] != null;
      if (isSilent) from ??= at - 1;
      else if (from !== null) {
        if (at < times.length || at - 1 - from > 1) stretches.push([times[from], times[at - 1]]);
        from = null;
      }
    }
    return stretches;
  }

  function hatched(ctx) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 8;
    const own = tile.getContext("2d");
    own.strokeStyle = colour("none");
    own.lineWidth = 1;
    own.stroke(new Path2D("M-2 10 10 -2M-2 2 2 -2M6 10 10 6"));
    return ctx.createPattern(tile, "repeat");
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
      { ...common, grid: { show: false }, size: hasTimes ? 30 : 8, space: 64, incrs: STEPS_S, values: (_, splits) => splits.map((at) => (hasTimes ? instant(at, false) : "")) },
      { ...common, grid, size: AXIS_WIDTH, space: 34, values: (_, splits) => splits.map(format) },
    ];
  }

  function plot(height, column, range, format, hasTimes, draw) {
    const options = {
      width: holder.clientWidth,
      height,
      padding: [hasTimes ? 8 : 22, 20, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: "objective" }, y: false, drag: { setScale: false, x: false }, points: { size: 7 } },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: { x: { time: true, range: () => [history.start_ms / 1000, history.end_ms / 1000] }, y: { range } },
      axes: axes(format, hasTimes),
      series: [{}, { stroke: colour("accent"), width: 1.8, fill: colour("tint"), fillTo: 0, points: { size: 5, fill: colour("accent") }, spanGaps: false }],
      hooks: { drawAxes: [drawGround], draw: [draw], setCursor: [(own) => own.cursor.event && tell(own.cursor.idx)] },
    };
    const made = new uPlot(options, table(column), holder);
    made.column = column;
    made.over.addEventListener("mouseleave", () => tell(null));
    return made;
  }

  const table = (column) => [history.times_ms.map((at) => at / 1000), history[column]];

  const plotName = document.createElement("p");

  function build() {
    plots.forEach((old) => old.destroy());
    plotName.className = "plot-name";
    holder.replaceChildren(readout);
    const budget = plot(236, "budget_left", (_, low) => [Math.min(0, (low ?? 0) * 1.08), 1], percent, false, (own) => drawEvents(own, history.events, true));
    holder.append(plotName);
    const burn = plot(120, "burn", (_, _low, high) => [0, Math.max(EVEN_BURN * 1.25, (high ?? 0) * 1.08)], rate, true, (own) => {
      drawEvenBurn(own);
      drawEvents(own, history.events, false);
    });
    plots = [budget, burn];
  }

  function hasSomething() {
    return history.budget_left.some((value) => value != null);
  }

  const failure = document.createElement("p");
  failure.className = "aside out-text";
  failure.setAttribute("role", "alert");

  function fail(why) {
    failure.textContent = `The history cannot be read: ${why}. Trying again; what is drawn may be old.`;
    if (!failure.isConnected) holder.before(failure);
  }

  async function load() {
    lastLoad = Date.now();
    try {
      const answer = await fetch(ranges.dataset.history, { headers: { Accept: "application/json" } });
      if (!answer.ok) {
        fail(`the server answered ${answer.status}`);
        return;
      }
      history = await answer.json();
    } catch {
      fail("the server does not answer"); // the rail says so, too, and the next refresh tries again
      return;
    }
    history.events.push(...history.begins_ms.map((at) => ({ at_ms: at, kind: "window", summary: "the window begins anew", label: "begins anew" })));
    failure.remove();
    if (!hasSomething()) return;
    if (!plots.length) build();
    else plots.forEach((own) => own.setData(table(own.column)));
    plotName.textContent = `Burn rate over ${span(history.burn_s)}; the dotted 1× spends exactly the budget`;
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
