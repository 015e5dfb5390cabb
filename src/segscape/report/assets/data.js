// The data of the page and how figures are shown. Every file adds to the one global, `page`.
(function () {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const page = (window.page = { ready: false, data, runs: data.runs, objectives: data.objectives });
  const NONE = (page.NONE = "–");

  page.byId = new Map(page.runs.map((run) => [run.id, run]));
  page.front = new Set(data.front);
  page.FRONT = "on the front of all finished runs, each for itself";
  page.varied = [...data.varied];
  const seeds = new Set(page.runs.map((run) => run.seed));
  if (seeds.size > 1 && !page.varied.includes("seed")) page.varied.push("seed");

  // -- lists ----------------------------------------------------------------------------------

  page.unique = (values) => [...new Set(values)];
  page.known = (values) => values.filter((value) => value !== null);
  // "1 run", "2 runs"
  page.count = (number, noun = "run") => `${number} ${noun}${number === 1 ? "" : "s"}`;

  // Lists of the items that have the same key, by key, in the order of the items.
  page.group = function group(items, keyOf) {
    const found = new Map();
    for (const item of items) {
      const key = keyOf(item);
      if (found.has(key)) found.get(key).push(item);
      else found.set(key, [item]);
    }
    return found;
  };

  // -- events: "filter" (other runs are shown), "pin", "theme", "colour" --------------------------

  const listeners = {};
  page.on = (name, action) => (listeners[name] = listeners[name] || []).push(action);
  page.emit = (name) => (listeners[name] || []).forEach((action) => action());

  // -- elements -------------------------------------------------------------------------------

  // Texts become text nodes and attributes only: nothing from the data is ever read as HTML.
  page.el = function el(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name === "class") element.className = value;
      else if (name in element && typeof value !== "string") element[name] = value;
      else element.setAttribute(name, value === true ? "" : value);
    }
    for (const child of children.flat()) {
      if (child !== null && child !== undefined && child !== false) element.append(child);
    }
    return element;
  };

  page.options = (select, entries, chosen) =>
    select.replaceChildren(
      ...entries.map(([value, text]) => page.el("option", { value, selected: value === chosen }, text))
    );

  // -- figures --------------------------------------------------------------------------------

  page.keys = Object.keys(data.keys);

  // `share`, `count`, `ms` or `number`, as `figure_keys.kind`.
  page.kind = (key) => (data.keys[key] || {}).kind || "number";
  page.label = (key) => (data.keys[key] || {}).label || key;
  page.unit = (key) => ({ share: "%", ms: "ms" })[page.kind(key)] || "";
  page.titled = (key, unit = page.unit(key)) => page.label(key) + (unit ? ` (${unit})` : "");

  // For an axis: with the unit of its scale, and an arrow to where it is better.
  page.axisTitle = function axisTitle(key, unit) {
    const way = page.direction(key);
    return `${way === "min" ? "← " : ""}${page.titled(key, unit)}${way === "max" ? " →" : ""}`;
  };

  page.direction = function direction(key) {
    const objective = page.objectives.find(([, name]) => name === key);
    return objective ? objective[0] : (data.keys[key] || {}).direction || null;
  };

  function amount(value) {
    for (const [limit, divisor, unit] of [[1e12, 1e12, "T"], [1e9, 1e9, "G"], [1e6, 1e6, "M"], [1e4, 1e3, "k"]]) {
      if (Math.abs(value) >= limit) return `${(value / divisor).toPrecision(4)} ${unit}`;
    }
    return String(Math.round(value));
  }

  // Without the unit that is in the heading.
  page.show = function show(key, value) {
    if (!Number.isFinite(value)) return NONE;
    const kind = page.kind(key);
    if (kind === "share") return (100 * value).toFixed(2);
    if (kind === "count") return amount(value);
    if (kind === "ms") return value >= 100 ? value.toFixed(0) : plain(value, 3);
    return Number.isInteger(value) && Math.abs(value) < 1e9 ? String(value) : plain(value, 4);
  };

  function plain(value, digits) {
    if (value !== 0 && Math.abs(value) < 1e-4) return value.toExponential(digits - 2);
    const text = value.toPrecision(digits);
    return text.includes("e") ? String(Number(text)) : text;
  }

  page.showWithUnit = function showWithUnit(key, value) {
    const text = page.show(key, value);
    return text === NONE || !page.unit(key) ? text : `${text} ${page.unit(key)}`;
  };

  // What a chart's axis counts in: [divisor, unit].
  page.scale = function scale(key, values) {
    const kind = page.kind(key);
    if (kind === "share") return [0.01, "%"];
    if (kind === "ms") return [1, "ms"];
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const units = kind === "count" ? [[1e9, "G"], [1e6, "M"], [1e3, "k"]] : [];
    return units.find(([limit]) => largest >= limit) || [1, ""];
  };

  page.figure = (run, key) => run.figures[key] ?? null;

  // -- choices --------------------------------------------------------------------------------

  page.value = function value(run, key) {
    if (key === "state") return run.state;
    for (const values of [run.choices, run.settings]) if (key in values) return readable(values[key]);
    return key === "seed" && run.seed !== null ? String(run.seed) : null;
  };

  const readable = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));

  page.numeric = (text) => text !== "" && Number.isFinite(Number(text));

  // The values of a key, in order; and whether they are numbers.
  page.valuesOf = function valuesOf(key) {
    const found = page.known(page.unique(page.runs.map((run) => page.value(run, key))));
    const numeric = found.length > 0 && found.every(page.numeric);
    return [numeric ? found.sort((a, b) => a - b) : found.sort(), numeric];
  };

  page.done = (run) => run.state === "finished" || run.state === "unknown";

  // Names of designs: what varies but the seed; the run's own name where that is the same for all.
  page.designName = function designName(run) {
    const values = page.known(page.varied.filter((key) => key !== "seed").map((key) => page.value(run, key)));
    return values.length && values.length <= 4 ? values.join(" · ") : run.name;
  };

  // Best first by the first objective; what has no figure comes last.
  page.best = function best(runs, key) {
    const chosen = key || (page.objectives[0] || [])[1];
    const sign = page.direction(chosen) === "min" ? 1 : -1;
    return [...runs].sort((one, other) => {
      const [a, b] = [page.figure(one, chosen), page.figure(other, chosen)];
      return a === null || b === null ? (a === null) - (b === null) : sign * (a - b);
    });
  };

  // Indices of the points that no other beats; `ways` are "max" or "min". As `pareto.front`.
  page.pareto = function pareto(points, ways) {
    const scores = points.map((point) => point.map((value, axis) => (ways[axis] === "max" ? value : -value)));
    const beats = (one, other) =>
      one.every((value, axis) => value >= other[axis]) && one.some((value, axis) => value > other[axis]);
    return [...scores.keys()].filter((index) => !scores.some((other) => beats(other, scores[index])));
  };

  // -- what is kept over reloads, per report ------------------------------------------------------

  const place = `segscape ${data.title}`;
  let kept = {};
  try {
    kept = JSON.parse(sessionStorage.getItem(place) || "{}");
  } catch {
    kept = {}; // storage is forbidden: the page works, and forgets
  }
  page.recall = (name, otherwise) => (name in kept ? kept[name] : otherwise);
  page.keep = function keep(name, value) {
    kept[name] = value;
    try {
      sessionStorage.setItem(place, JSON.stringify(kept));
    } catch {
      kept[name] = value; // remembered until the page is closed
    }
  };

  // A choice that is kept: changes are stored, and `action` is called.
  page.keptSelect = (select, name, action) =>
    select.addEventListener("change", () => {
      page.keep(name, select.value);
      action();
    });
})();
