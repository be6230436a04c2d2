// The form of Explore where scripts run: Enter runs, queries come and go in place, what was run before is remembered in
// this browser, and a range that is chosen takes along what has been typed. Without it the form does the same, slower.
"use strict";

(() => {
  const form = document.getElementById("ask");
  if (!form) return;

  const MOST = 10;
  const KEPT = 50;
  const STORE = "setpoint.explore.history";
  const LETTERS = "ABCDEFGHIJ";
  const queries = document.getElementById("queries");
  const history = document.getElementById("history");
  const fields = () => [...queries.querySelectorAll("textarea")];
  const texts = () => fields().map((field) => field.value.trim()).filter(Boolean);
  const ran = texts();

  // ---- running -----------------------------------------------------------------------------------------------------

  function run() {
    remember(texts());
    const given = new URLSearchParams([...new FormData(form)].filter(([, value]) => value.trim?.()));
    const run = document.getElementById("run");
    run.textContent = "Running …";
    document.body.setAttribute("aria-busy", "true");
    location.assign(`/explore?${given}`);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { name, value } = event.submitter ?? {};
    if (name === "add") add();
    else if (name === "drop") drop(Number(value));
    else run();
  });

  queries.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    run();
  });

  // A page that comes back from the browser's memory is not running any more.
  addEventListener("pageshow", () => {
    document.getElementById("run").textContent = "Run";
    document.body.removeAttribute("aria-busy");
  });

  // What has been typed goes along to another range or view.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("#ranges a, #shifts a, #views a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (JSON.stringify(texts()) === JSON.stringify(ran)) return;
    event.preventDefault();
    const address = new URL(link.href);
    address.searchParams.delete("q");
    for (const text of texts()) address.searchParams.append("q", text);
    remember(texts());
    location.assign(address);
  });

  // ---- queries come and go -----------------------------------------------------------------------------------------

  function add(text = "") {
    if (fields().length >= MOST) return;
    const row = queries.lastElementChild.cloneNode(true);
    const field = row.querySelector("textarea");
    row.querySelector(".told").replaceChildren();
    row.querySelector(".offers")?.remove();
    for (const name of ["aria-invalid", "aria-expanded", "aria-activedescendant"]) field.removeAttribute(name);
    field.value = text;
    queries.append(row);
    number();
    field.focus();
  }

  function drop(place) {
    const rows = [...queries.children];
    if (rows.length < 2) return;
    rows[place].remove();
    number();
    if (texts().length) run();
    else fields()[0].focus();
  }

  function number() {
    const rows = [...queries.children];
    rows.forEach((row, at) => {
      const [field, label, button] = [row.querySelector("textarea"), row.querySelector("label"), row.querySelector(".drop")];
      field.id = label.htmlFor = `q${at}`;
      row.querySelector(".told").id = `said-${at}`;
      field.setAttribute("aria-describedby", `said-${at}`);
      row.querySelector(".letter").textContent = LETTERS[at];
      label.querySelector(".unseen").textContent = `Query ${LETTERS[at]}`;
      button.value = at;
      button.title = button.querySelector(".unseen").textContent = `Remove query ${LETTERS[at]}`;
      button.hidden = rows.length < 2;
    });
    document.getElementById("add").hidden = rows.length >= MOST;
  }

  // ---- history -----------------------------------------------------------------------------------------------------

  function known() {
    try {
      const kept = JSON.parse(localStorage.getItem(STORE) ?? "[]");
      return Array.isArray(kept) ? kept.filter((text) => typeof text === "string") : [];
    } catch {
      return []; // the browser keeps nothing for us
    }
  }

  function remember(now) {
    const kept = [...new Set([...now, ...known()])].slice(0, KEPT);
    try {
      localStorage.setItem(STORE, JSON.stringify(kept));
    } catch {
      return;
    }
  }

  function listHistory() {
    const before = known();
    const list = history.querySelector(".list");
    history.hidden = !before.length;
    const rows = before.map((text) => {
      const row = Object.assign(document.createElement("button"), { type: "button", textContent: text });
      row.addEventListener("click", () => {
        history.open = false;
        const empty = fields().find((field) => !field.value.trim());
        if (empty) empty.value = text;
        else add(text);
        run();
      });
      return row;
    });
    const forget = Object.assign(document.createElement("button"), { type: "button", className: "forget", textContent: "Forget all of these" });
    forget.addEventListener("click", () => {
      localStorage.removeItem(STORE);
      history.open = false;
      history.hidden = true;
    });
    list.replaceChildren(...rows, forget);
  }

  history.addEventListener("toggle", () => history.open && listHistory());
  document.addEventListener("click", (event) => !history.contains(event.target) && (history.open = false));
  history.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    history.open = false;
    history.querySelector("summary").focus();
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName)) return;
    event.preventDefault();
    fields()[0].focus();
  });

  // A query that failed is not worth keeping; what answered is, however it was opened.
  remember(fields().filter((field) => !field.hasAttribute("aria-invalid")).map((field) => field.value.trim()).filter(Boolean));
  history.hidden = !known().length;
  const broken = queries.querySelector("[aria-invalid]");
  if (broken || !ran.length) (broken ?? fields()[0]).focus({ preventScroll: true });
})();
