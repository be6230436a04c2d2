// Keeps the open page true: listens to /events and, when something changed, fetches the page's own URL and morphs the
// difference in. What a reader is doing stays: focus, scroll, open <details>, typed text, the order of rows.
"use strict";

(() => {
  const SILENCE_MS = 7000; // the server says something every two seconds
  const RETRY_MS = 1500;
  const prefersStill = matchMedia("(prefers-reduced-motion: reduce)");
  let source = null;
  let lastHeard = 0;
  let lastRefresh = Date.now();
  let wasLost = false;
  let mayReorder = false;

  const page = () => document.getElementById("page");
  const clock = () => new Date().toISOString().slice(11, 19) + " UTC";

  // ---- swapping without a jump -------------------------------------------------------------------------------------

  // Rows keep their place while the same view is open; a changed order is offered, not forced on a reader. A row that
  // left the view gives its place to one that came.
  function keepOrder(fresh) {
    const [now, next] = ["groups", "list"].flatMap((id) => {
      const open = document.getElementById(id);
      const coming = fresh.querySelector(`#${id}`);
      return open && coming ? [open, coming] : [];
    });
    if (!now || mayReorder || now.dataset.view !== next.dataset.view) return;
    let hasMoved = false;
    for (const list of [next, ...next.querySelectorAll("[data-steady]")]) {
      const before = list.dataset.steady === undefined ? null : document.getElementById(list.id);
      if (before) hasMoved = keepPlaces(before, list) || hasMoved;
    }
    const note = fresh.querySelector("#resort");
    if (note) note.hidden = !hasMoved;
  }

  function keepPlaces(before, list) {
    const rows = [...list.children];
    const byId = new Map(rows.map((row) => [row.id, row]));
    const places = [...before.children].map((row) => byId.get(row.id) ?? null);
    const stayed = new Set(places);
    const came = rows.filter((row) => !stayed.has(row));
    const order = places.map((row) => row ?? came.shift()).filter(Boolean).concat(came);
    list.append(...order);
    return order.some((row, at) => row !== rows[at]);
  }

  function flash(element) {
    if (prefersStill.matches) return;
    const colour = getComputedStyle(document.documentElement).getPropertyValue("--flash");
    element.animate([{ backgroundColor: colour }, { backgroundColor: "transparent" }], { duration: 3500, easing: "ease-out" });
  }

  const callbacks = {
    beforeNodeMorphed(old, fresh) {
      if (old.dataset?.keep !== undefined) return false;
      if (old.dataset?.state && old.dataset.state !== fresh.dataset?.state) flash(old);
      return true;
    },
    beforeAttributeUpdated: (name, element) => !(name === "open" && element.tagName === "DETAILS"),
  };

  htmx.defineExtension("steady", {
    isInlineSwap: (style) => style === "steady",
    handleSwap(style, target, fragment) {
      if (style !== "steady") return false;
      const fresh = fragment.firstElementChild;
      if (!fresh) return [target];
      keepOrder(fresh);
      mayReorder = false;
      Idiomorph.morph(target, fresh, { morphStyle: "outerHTML", ignoreActiveValue: true, callbacks });
      return [page()];
    },
  });

  // ---- fetching ----------------------------------------------------------------------------------------------------

  let isFetching = false;
  let isAskedAgain = false;

  async function refresh() {
    if (isFetching) {
      isAskedAgain = true;
      return;
    }
    isFetching = true;
    lastRefresh = Date.now();
    try {
      await htmx.ajax("GET", location.pathname + location.search, { source: "#page", target: "#page", select: "#page", swap: "steady" });
    } catch {
      // htmx has said so through its events, below
    }
    isFetching = false;
    if (isAskedAgain) {
      isAskedAgain = false;
      refresh();
    }
  }

  document.addEventListener("htmx:responseError", (event) => {
    const status = event.detail.xhr.status;
    if (status === 401 || status === 404) location.reload(); // logged out, or what this page shows is gone
  });
  document.addEventListener("htmx:afterSettle", () => document.dispatchEvent(new Event("setpoint:refreshed")));

  // ---- listening ---------------------------------------------------------------------------------------------------

  function show(state, text) {
    const line = document.getElementById("live");
    document.body.toggleAttribute("data-lost", state === "lost");
    if (!line || line.dataset.state === state) return;
    line.dataset.state = state;
    line.querySelector("span").textContent = text;
  }

  function lose() {
    wasLost = true;
    show("lost", `connection lost ${clock()}, retrying`);
  }

  const isDue = () => Date.now() - lastRefresh > Number(page().dataset.every) * 1000 - 500;

  function listen() {
    source?.close();
    lastHeard = Date.now();
    const mine = (source = new EventSource("/events"));
    mine.addEventListener("hello", () => {
      lastHeard = Date.now();
      show("live", "live");
      if (wasLost) refresh();
      wasLost = false;
    });
    mine.addEventListener("change", () => {
      lastHeard = Date.now();
      if (page().dataset.calm === undefined || isDue()) refresh(); // a page of expensive queries keeps to its pace
    });
    mine.addEventListener("tick", () => {
      lastHeard = Date.now();
      if (isDue()) refresh();
    });
    mine.addEventListener("error", () => {
      if (mine !== source) return;
      lose();
      if (mine.readyState !== EventSource.CLOSED) return;
      refresh(); // the server refused the stream: whose session has ended gets the login page by this
      setTimeout(() => mine === source && listen(), RETRY_MS);
    });
  }

  setInterval(() => {
    if (!source || Date.now() - lastHeard < SILENCE_MS) return;
    lose(); // a connection that died without a word
    listen();
  }, 1000);

  // A browser opens six connections to a server at most: a page that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source?.close();
      source = null;
      show("still", "paused in the background");
    } else if (!source) {
      mayReorder = true;
      wasLost = true;
      listen();
    }
  });
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => event.persisted && listen());

  document.addEventListener("keydown", (event) => {
    const field = document.getElementById("q");
    if (event.key !== "/" || !field || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName)) return;
    event.preventDefault();
    field.focus();
    field.select();
  });

  listen();
})();
