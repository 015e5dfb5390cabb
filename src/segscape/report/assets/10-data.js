// The data of the page and how figures are shown. Every file adds to the one global, `page`.
(function () {
  "use strict";
  const page = (window.page = { ready: false });
  const data = JSON.parse(document.getElementById("data").textContent);
  const NONE = "–";

  page.data = data;
  page.runs = data.runs || [];
  page.byId = new Map(page.runs.map((run) => [run.id, run]));
  page.front = new Set(data.front || []);
  page.FRONT = "on the front of all finished runs, each for itself";
  page.varied = [...(data.varied || [])];
  const seeds = new Set(page.runs.map((run) => run.seed));
  if (seeds.size > 1 && !page.varied.includes("seed")) page.varied.push("seed");
  page.objectives = data.objectives || [];
  page.NONE = NONE;

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

  page.options = function options(select, entries, chosen) {
    select.replaceChildren(
      ...entries.map(([value, text]) =>
        page.el("option", { value, selected: value === chosen }, text)
      )
    );
  };

  // -- figures --------------------------------------------------------------------------------

  const keys = data.keys || {};
  page.keys = Object.keys(keys);

  // `share`, `count`, `ms` or `number`, as `figure_keys.kind`.
  page.kind = (key) => (keys[key] || {}).kind || "number";

  page.label = (key) => (keys[key] || {}).label || key;

  page.unit = (key) => ({ share: "%", ms: "ms" })[page.kind(key)] || "";
  page.titled = (key) => page.label(key) + (page.unit(key) ? ` (${page.unit(key)})` : "");

  page.direction = function direction(key) {
    for (const [way, objective] of page.objectives) if (objective === key) return way;
    return (keys[key] || {}).direction || null;
  };

  function amount(value) {
    for (const [limit, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
      if (Math.abs(value) >= limit) {
        return `${(value / (unit === "k" ? 1e3 : limit)).toPrecision(4)} ${unit}`;
      }
    }
    return String(Math.round(value));
  }

  // As `figure_keys.show`: without the unit that stands in the heading.
  page.show = function show(key, value) {
    if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
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
    if (kind === "count") {
      const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      for (const [limit, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
        if (largest >= limit) return [limit, unit];
      }
    }
    return [1, ""];
  };

  page.figure = function figure(run, key) {
    const value = (run.figures || {})[key];
    return typeof value === "number" && Number.isFinite(value) ? value : null;
  };

  // -- choices --------------------------------------------------------------------------------

  page.value = function value(run, key) {
    if (key === "state") return run.state;
    for (const values of [run.choices, run.settings]) {
      if (values && key in values) return readable(values[key]);
    }
    if (key === "seed" && run.seed !== null && run.seed !== undefined) return String(run.seed);
    return null;
  };

  function readable(value) {
    if (value === null || value === undefined) return "null";
    if (typeof value === "object") return JSON.stringify(value);
    return String(value);
  }

  page.done = (run) => run.state === "finished" || run.state === "unknown";

  // Names of designs: what varies but the seed; the run's own name where that does not tell.
  page.designName = function designName(run) {
    const told = page.varied
      .filter((key) => key !== "seed")
      .map((key) => page.value(run, key))
      .filter((value) => value !== null);
    return told.length && told.length <= 4 ? told.join(" · ") : run.name;
  };

  // Best first by the first objective; what has no figure comes last.
  page.best = function best(runs, key) {
    const chosen = key || (page.objectives[0] || [])[1];
    const sign = page.direction(chosen) === "min" ? 1 : -1;
    return [...runs].sort((one, other) => {
      const [a, b] = [page.figure(one, chosen), page.figure(other, chosen)];
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (a - b);
    });
  };

  // Indices of the points that no other beats; `ways` are "max" or "min". As `pareto.front`.
  page.pareto = function pareto(points, ways) {
    const scores = points.map((point) =>
      point.map((value, axis) => (ways[axis] === "max" ? value : -value))
    );
    const beats = (one, other) =>
      one.every((value, axis) => value >= other[axis]) &&
      one.some((value, axis) => value > other[axis]);
    const found = [];
    scores.forEach((score, index) => {
      if (!scores.some((other) => beats(other, score))) found.push(index);
    });
    return found;
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
})();
