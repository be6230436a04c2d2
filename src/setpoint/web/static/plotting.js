// What every chart shares: colours of the page, and the timeline's events marked and named on a time axis.
"use strict";

const plotting = (() => {
  const LABEL_LEAST = 70;
  const SHAPE_WIDTH = 14;
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const CAUSES = { "demo.fault": 1, "demo.heal": 1, deploy: 1 };
  const EVENT_COLOUR = { "demo.fault": "burn", "demo.heal": "ok", deploy: "accent", "alert.fired": "out", "alert.resolved": "ok", "policy.freeze": "out", "policy.fixes_only": "burn", "policy.lifted": "ok" };
  const EVENT_SHAPE = { "demo.fault": "M1 1 9 9M9 1 1 9", "demo.heal": "M1 5.5 4 8.5 9 1.5", deploy: "M5 9V1.5M1.5 5 5 1.5 8.5 5", "alert.fired": "M5 1 9 5 5 9 1 5Z" };
  const pad = (number) => String(number).padStart(2, "0");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  // `events` have `at_ms`, `kind` and `label`; the labels stand above the plot.
  function drawEvents(plot, events, hasLabels) {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    const end = bbox.left + bbox.width;
    ctx.save();
    ctx.textBaseline = "top";
    ctx.textAlign = "left";
    const taken = []; // stretches of the axis that have a label
    for (const event of [...events].sort(byWeight)) {
      const x = Math.round(plot.valToPos(event.at_ms / 1000, "x", true));
      if (x < bbox.left || x > end) continue;
      const isFault = event.kind === "demo.fault";
      ctx.strokeStyle = colour(EVENT_COLOUR[event.kind] || "none");
      ctx.lineWidth = ratio * (isFault ? 1.5 : 1);
      ctx.setLineDash(isFault ? [] : [2 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(x + 0.5, bbox.top - (hasLabels ? 4 * ratio : 0));
      ctx.lineTo(x + 0.5, bbox.top + bbox.height);
      ctx.stroke();
      if (hasLabels) drawLabel(plot, event, x, taken);
    }
    ctx.restore();
  }

  // To the right of its mark where there is room, else to the left, else shortened to the wider of the two.
  function drawLabel({ ctx, bbox }, event, x, taken) {
    const ratio = devicePixelRatio;
    const shape = EVENT_SHAPE[event.kind];
    const lead = (shape ? SHAPE_WIDTH : 0) * ratio;
    const gap = 6 * ratio;
    if (taken.some(([from, to]) => x >= from && x <= to)) return;
    const left = Math.max(0, ...taken.filter(([, to]) => to <= x).map(([, to]) => to));
    const right = Math.min(bbox.left + bbox.width + 16 * ratio, ...taken.filter(([from]) => from >= x).map(([from]) => from));
    ctx.font = `${event.kind === "demo.fault" ? "600 " : ""}${11 * ratio}px Inter, system-ui, sans-serif`;
    const whole = ctx.measureText(event.label).width + lead + gap;
    const isRight = whole <= right - x || (whole > x - left && right - x >= x - left);
    const room = isRight ? right - x : x - left;
    if (room < Math.min(whole, LABEL_LEAST * ratio)) return;
    const text = shortened(ctx, event.label, room - lead - gap);
    const width = ctx.measureText(text).width + lead + gap;
    const from = isRight ? x : x - width;
    taken.push([from - gap, from + width + gap]);
    const y = bbox.top - 17 * ratio;
    if (shape) {
      ctx.save();
      ctx.setLineDash([]);
      ctx.translate(from + (isRight ? 0 : gap / 2), y + ratio);
      ctx.scale(ratio, ratio);
      ctx.lineWidth = 1.8;
      ctx.stroke(new Path2D(shape));
      ctx.restore();
    }
    ctx.fillStyle = colour("ink");
    ctx.fillText(text, from + lead + gap / 2, y);
  }

  // What changed the service is labelled before what that did to it; of equals, the newest.
  function byWeight(a, b) {
    const weight = ({ kind }) => (kind in CAUSES ? 0 : kind === "alert.fired" || kind === "objective.state" ? 1 : 2);
    return weight(a) - weight(b) || b.at_ms - a.at_ms;
  }

  function shortened(ctx, text, width) {
    if (ctx.measureText(text).width <= width) return text;
    let length = text.length;
    while (length > 4 && ctx.measureText(`${text.slice(0, length)}…`).width > width) length -= 1;
    return `${text.slice(0, length).trimEnd()}…`;
  }

  return { MONTHS, colour, drawEvents, pad };
})();
