// The graph of Explore, drawn by uPlot from the data that stand in the page, with the timeline's events on its axis.
// Dragging over a stretch of time shows that alone. Without this script the server's own drawing stays.
"use strict";

(() => {
  if (!document.getElementById("plot") || !window.uPlot) return;

  const { MONTHS, colour, drawEvents, pad } = plotting;
  const HEIGHT = 300;
  const HEIGHT_NARROW = 240;
  const NARROW = 600;
  const AXIS_WIDTH = 62;
  const COLOURS = 8;
  const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3]];
  const DAY_S = 86400;
  const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];
  const isDark = matchMedia("(prefers-color-scheme: dark)");
  let holder = null;
  let data = null;
  let plot = null;
  let alone = null; // the row that is shown alone

  const readout = Object.assign(document.createElement("p"), { className: "readout" });

  // ---- figures -----------------------------------------------------------------------------------------------------

  function figure(value) {
    if (value == null) return "–";
    const size = Math.abs(value);
    const [scale, unit] = [[1e12, " T"], [1e9, " G"], [1e6, " M"]].find(([least]) => size >= least) ?? [1, ""];
    const short = Number((value / scale).toPrecision(4));
    const text = size && size < 1e-4 ? value.toPrecision(3) : short.toLocaleString("en-US", { maximumFractionDigits: size >= 1000 && !unit ? 0 : 8 });
    return text.replace("-", "−") + unit;
  }

  function instant(seconds, isWhole) {
    const at = new Date(seconds * 1000);
    const length = data.end_s - data.start_s;
    const clock = `${pad(at.getUTCHours())}:${pad(at.getUTCMinutes())}`;
    const date = `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}`;
    if (isWhole) return `${date} ${clock}:${pad(at.getUTCSeconds())} UTC`;
    if (length > 2 * DAY_S || at.getUTCHours() + at.getUTCMinutes() === 0) return clock === "00:00" ? date : clock;
    return length < 600 ? `${clock}:${pad(at.getUTCSeconds())}` : clock;
  }

  // Zero belongs to the axis where the values come near it, and a flat line is not drawn on the edge.
  function bounds(_, low, high) {
    if (low == null) return [0, 1];
    if (low >= 0 && low < 0.6 * high) low = 0;
    else if (high <= 0 && high > 0.6 * low) high = 0;
    if (high - low <= Math.abs(high) * 1e-9) [low, high] = high > 0 ? [0, 2 * high] : low < 0 ? [2 * low, 0] : [0, 1];
    const room = 0.06 * (high - low);
    return [low === 0 ? 0 : low - room, high === 0 ? 0 : high + room];
  }

  // ---- what the cursor tells ---------------------------------------------------------------------------------------

  const swatch = (row) => document.querySelector(`.swatch[data-row="${row}"]`);

  function tell() {
    const index = plot.cursor.idx;
    const isOver = index != null && plot.cursor.left >= 0;
    const when = data.times_s[index];
    const reach = (data.end_s - data.start_s) / 120;
    const events = isOver ? data.events.filter((event) => Math.abs(event.at_ms / 1000 - when) <= reach).slice(0, 3) : [];
    const time = Object.assign(document.createElement("b"), { textContent: isOver ? instant(when, true) : "" });
    const near = isOver ? nearest(index) : null;
    const what = Object.assign(document.createElement("span"), { className: "what", textContent: events.map((event) => event.label).join(" · ") });
    const parts = [time];
    if (near !== null) {
      const value = Object.assign(document.createElement("b"), { textContent: figure(data.rows[near][index]) });
      const name = document.createElement("span");
      name.append(`${swatch(near)?.nextElementSibling?.textContent.trim() ?? ""} `, value);
      parts.push(name);
    }
    readout.replaceChildren(...(isOver ? parts : [hint()]), what);
  }

  function hint() {
    return Object.assign(document.createElement("span"), { textContent: "Point at the graph for values; drag over a stretch of time to see that alone." });
  }

  // The line that is nearest to the pointer.
  function nearest(index) {
    let best = null;
    let least = Infinity;
    data.rows.forEach((row, at) => {
      if (row[index] == null || !plot.series[at + 1]?.show) return;
      const away = Math.abs(plot.valToPos(row[index], "y") - plot.cursor.top);
      if (away < least) [best, least] = [at, away];
    });
    return best;
  }

  // ---- drawing -----------------------------------------------------------------------------------------------------

  function options() {
    const common = { stroke: colour("soft"), font: "11px Inter, system-ui, sans-serif", ticks: { show: false } };
    const isNarrow = holder.clientWidth < NARROW;
    return {
      width: holder.clientWidth,
      height: isNarrow ? HEIGHT_NARROW : HEIGHT,
      padding: [22, 16, 0, 0],
      legend: { show: false },
      focus: { alpha: 0.35 },
      cursor: { y: false, drag: { setScale: false, x: true, y: false }, points: { size: 6 }, focus: { prox: 24 } },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: { x: { time: true, range: () => [data.start_s, data.end_s] }, y: { range: bounds } },
      axes: [
        { ...common, grid: { show: false }, size: 30, space: isNarrow ? 56 : 72, incrs: STEPS_S, values: (_, splits) => splits.map((at) => instant(at, false)) },
        { ...common, grid: { stroke: colour("rule"), width: 1 }, size: AXIS_WIDTH, space: 38, values: (_, splits) => splits.map(figure) },
      ],
      series: [{}, ...data.rows.map((_, at) => line(at))],
      hooks: { draw: [(own) => drawEvents(own, data.events, true)], setCursor: [tell], setSelect: [zoom] },
    };
  }

  function line(at) {
    const stroke = colour(`s${at % COLOURS}`);
    const dash = DASHES[Math.min(Math.floor(at / COLOURS), DASHES.length - 1)];
    return { stroke, dash, width: 1.5, spanGaps: false, points: { size: 4, fill: stroke }, show: alone === null || alone === at };
  }

  function zoom({ select, posToVal }) {
    if (select.width < 4) return;
    const [from, to] = [posToVal(select.left, "x"), posToVal(select.left + select.width, "x")];
    const address = new URL(location.href);
    address.searchParams.set("start", Math.floor(from));
    address.searchParams.set("end", Math.max(Math.ceil(to), Math.floor(from) + 1));
    for (const name of ["add", "drop"]) address.searchParams.delete(name);
    location.assign(address);
  }

  function show(row) {
    alone = alone === row ? null : row;
    plot.batch(() => data.rows.forEach((_, at) => plot.setSeries(at + 1, { show: alone === null || alone === at })));
    press();
  }

  function press() {
    for (const button of document.querySelectorAll(".swatch")) {
      const isShown = alone === null || alone === Number(button.dataset.row);
      button.setAttribute("aria-pressed", String(isShown));
      button.closest("tr").classList.toggle("off", !isShown);
    }
  }

  function build() {
    const now = document.getElementById("plot");
    const written = document.getElementById("plot-data");
    if (!now || !written) return;
    const before = data?.rows.length;
    data = JSON.parse(written.textContent);
    const table = [data.times_s, ...data.rows];
    if (plot && now === holder && before === data.rows.length) {
      plot.setData(table);
      press();
      return;
    }
    alone = null;
    plot?.destroy();
    holder = now;
    holder.replaceChildren(readout);
    plot = new uPlot(options(), table, holder);
    watch.disconnect();
    watch.observe(holder);
    readout.replaceChildren(hint());
  }

  function rebuild() {
    plot?.destroy();
    plot = null;
    build();
  }

  const watch = new ResizeObserver(() => {
    const width = holder.clientWidth;
    if (plot && plot.width !== width) plot.setSize({ width, height: width < NARROW ? HEIGHT_NARROW : HEIGHT });
  });

  isDark.addEventListener("change", rebuild);
  document.fonts?.ready.then(() => plot?.redraw());
  document.addEventListener("setpoint:refreshed", build);
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".swatch");
    if (button && plot) show(Number(button.dataset.row));
  });
  const setFocus = (event) => {
    const row = event.target.closest?.(".graphed tr");
    const button = row?.querySelector(".swatch");
    if (plot && alone === null) plot.setSeries(button ? Number(button.dataset.row) + 1 : null, { focus: true });
  };
  document.addEventListener("mouseover", setFocus);
  build();
})();
