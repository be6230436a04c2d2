// Completes what is typed into a query: metrics and functions, labels, values, durations. The server finds them, a few at
// a time, so that it stays quick with any number of series. Arrows choose, Tab or Enter takes, Escape closes.
"use strict";

(() => {
  const queries = document.getElementById("queries");
  if (!queries) return;

  const PAUSE_MS = 80;
  const LIMIT = 30;
  const GROUPING = /\b(?:by|without|on|ignoring|group_left|group_right)\s*$/i;
  const KEYWORDS = new Set("sum min max avg group count stddev stdvar topk bottomk quantile count_values limitk limit_ratio by without on ignoring group_left group_right and or unless bool offset atan2 inf nan".split(" "));
  const DURATIONS = ["1m", "5m", "10m", "15m", "30m", "1h", "6h", "1d", "7d"];
  const list = Object.assign(document.createElement("ul"), { className: "offers", id: "offers", hidden: true });
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Completions");
  const told = Object.assign(document.createElement("p"), { className: "unseen" });
  told.setAttribute("role", "status");
  let field = null; // the query that is being typed
  let place = null; // what stands before the cursor
  let chosen = -1;
  let asked = null;
  let timer = 0;

  // ---- where the cursor is -----------------------------------------------------------------------------------------

  // The brackets that are open at the end of `text`, innermost last, and where an open quote begins.
  function open(text) {
    const stack = [];
    let quote = null;
    for (let at = 0; at < text.length; at += 1) {
      const letter = text[at];
      if (quote) {
        if (letter === "\\" && text[quote.at] !== "`") at += 1;
        else if (letter === text[quote.at]) quote = null;
      } else if ("\"'`".includes(letter)) quote = { at };
      else if ("([{".includes(letter)) stack.push({ at, letter });
      else if (")]}".includes(letter)) stack.pop();
    }
    return { bracket: stack.at(-1), quote };
  }

  function locate(text) {
    const { bracket, quote } = open(text);
    const word = /[A-Za-z_:][\w:]*$/.exec(text)?.[0] ?? "";
    const start = text.length - word.length;
    if (quote) {
      if (bracket?.letter !== "{") return null;
      const label = /([A-Za-z_]\w*)\s*(?:=~|!~|!=|=)\s*$/.exec(text.slice(0, quote.at))?.[1];
      return label && { of: "value", label, metric: metricBefore(text, bracket.at), prefix: text.slice(quote.at + 1), start: quote.at + 1, closer: text[quote.at] };
    }
    if (bracket?.letter === "[") {
      const written = /[\w.]*$/.exec(text)[0];
      return text.slice(bracket.at).includes(":") ? null : { of: "duration", prefix: written, start: text.length - written.length };
    }
    if (bracket?.letter === "{") return /[{,]\s*$/.test(text.slice(0, start)) ? { of: "label", metric: metricBefore(text, bracket.at), prefix: word, start, isMatcher: true } : null;
    if (bracket?.letter === "(" && GROUPING.test(text.slice(0, bracket.at))) return { of: "label", metric: anyMetric(field.value), prefix: word, start };
    return word ? { of: "expression", prefix: word, start } : null;
  }

  const metricBefore = (text, at) => /([A-Za-z_:][\w:]*)\s*$/.exec(text.slice(0, at))?.[1] ?? "";

  function anyMetric(text) {
    const bare = text.replace(/"(?:[^"\\]|\\.)*"|\{[^}]*\}|\[[^\]]*\]/g, (found) => (found[0] === "{" ? "{}" : " "));
    const grouped = bare.replace(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)?/gi, " ");
    for (const found of grouped.matchAll(/[A-Za-z_:][\w:]*/g)) {
      if (!/^\s*\(/.test(grouped.slice(found.index + found[0].length)) && !KEYWORDS.has(found[0].toLowerCase())) return found[0];
    }
    return "";
  }

  // ---- asking and showing ------------------------------------------------------------------------------------------

  async function offer() {
    const here = field;
    const now = here && locate(here.value.slice(0, here.selectionStart));
    asked?.abort();
    if (!now || here.selectionStart !== here.selectionEnd) return close();
    if (now.of === "duration") {
      place = now;
      return show(DURATIONS.filter((text) => text.startsWith(now.prefix) && text !== now.prefix).map((text) => ({ text, kind: "duration" })), 0);
    }
    const mine = (asked = new AbortController());
    const given = new URLSearchParams({ of: now.of, prefix: now.prefix, metric: now.metric ?? "", label: now.label ?? "", limit: LIMIT });
    try {
      const answer = await fetch(`/api/telemetry/complete?${given}`, { signal: mine.signal });
      if (!answer.ok) return close();
      const { items, total } = await answer.json();
      if (document.activeElement !== here || mine.signal.aborted) return;
      place = now;
      const isDone = items.length === 1 && items[0].text === now.prefix;
      show(isDone ? [] : items, total - items.length);
    } catch {
      if (mine === asked && !mine.signal.aborted) close(); // the server does not answer: what is typed can be run all the same
    }
  }

  function show(items, hidden) {
    if (!items.length) return close();
    list.replaceChildren(...items.map(made));
    if (hidden > 0) {
      const rest = Object.assign(document.createElement("li"), { className: "rest", textContent: `and ${hidden.toLocaleString("en-US")} more: type on` });
      rest.setAttribute("role", "presentation");
      list.append(rest);
    }
    field.parentElement.append(list);
    list.style.top = `${field.offsetHeight + 2}px`;
    list.hidden = false;
    field.setAttribute("aria-controls", "offers");
    field.setAttribute("aria-expanded", "true");
    told.textContent = `${items.length} completions`;
    choose(-1);
  }

  function made(item, index) {
    const row = document.createElement("li");
    row.id = `offer-${index}`;
    row.setAttribute("role", "option");
    row.dataset.text = item.text;
    row.dataset.kind = item.kind;
    const name = document.createElement("span");
    const at = item.text.toLowerCase().indexOf(place.prefix.toLowerCase());
    const bold = Object.assign(document.createElement("b"), { textContent: item.text.slice(at, at + place.prefix.length) });
    if (at >= 0 && place.prefix) name.append(item.text.slice(0, at), bold, item.text.slice(at + place.prefix.length));
    else name.textContent = item.text;
    const note = document.createElement("small");
    note.textContent = item.note || item.kind;
    row.append(name, note);
    return row;
  }

  function close() {
    asked?.abort();
    clearTimeout(timer);
    list.hidden = true;
    chosen = -1;
    field?.removeAttribute("aria-activedescendant");
    field?.setAttribute("aria-expanded", "false");
    told.textContent = "";
  }

  const options = () => [...list.querySelectorAll("[role=option]")];

  function choose(index) {
    const all = options();
    chosen = index < -1 ? all.length - 1 : index >= all.length ? -1 : index;
    all.forEach((row, at) => row.setAttribute("aria-selected", String(at === chosen)));
    if (chosen < 0) return field.removeAttribute("aria-activedescendant");
    field.setAttribute("aria-activedescendant", all[chosen].id);
    all[chosen].scrollIntoView({ block: "nearest" });
  }

  function take(row) {
    const end = field.selectionStart;
    const after = field.value.slice(end);
    let text = row.dataset.text;
    if (place.of === "value") {
      if (place.closer !== "`") text = text.replaceAll("\\", "\\\\").replaceAll(place.closer, `\\${place.closer}`);
      if (!after.startsWith(place.closer)) text += place.closer;
    } else if (place.isMatcher && !/^\s*[=!]/.test(after)) text += '="';
    else if (/^(?:function|aggregation)$/.test(row.dataset.kind) && !/^\s*\(/.test(after)) text += "(";
    const isOpen = text.endsWith('="');
    field.setRangeText(text, place.start, end, "end");
    field.dispatchEvent(new Event("input", { bubbles: true }));
    if (isOpen) offer();
    else close();
  }

  // ---- what a person does ------------------------------------------------------------------------------------------

  queries.addEventListener("input", (event) => {
    if (event.target.tagName !== "TEXTAREA") return;
    field = event.target;
    clearTimeout(timer);
    timer = setTimeout(offer, PAUSE_MS);
  });

  // Before explore.js, which runs the query at Enter.
  queries.addEventListener("keydown", (event) => {
    if (event.target.tagName !== "TEXTAREA") return;
    field = event.target;
    if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      return offer();
    }
    if (list.hidden) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) choose(chosen + step);
    else if (event.key === "Escape") close();
    else if (event.key === "Tab" && !event.shiftKey) take(options()[Math.max(0, chosen)]);
    else if (event.key === "Enter" && chosen >= 0) take(options()[chosen]);
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  });

  queries.addEventListener("focusout", () => setTimeout(() => !list.contains(document.activeElement) && document.activeElement !== field && close(), 0));
  list.addEventListener("pointerdown", (event) => {
    event.preventDefault(); // the focus stays in the query
    const row = event.target.closest("[role=option]");
    if (row) take(row);
  });
  queries.after(told);
  for (const one of queries.querySelectorAll("textarea")) {
    one.setAttribute("aria-autocomplete", "list");
    one.setAttribute("aria-haspopup", "listbox");
  }
})();
