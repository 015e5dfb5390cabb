// What colour a run has, the same in every chart; and the conditions that figures were taken under.
(function (page) {
  "use strict";

  function candidates() {
    return [...page.varied, "state"].filter((key) => {
      const found = new Set(page.runs.map((run) => page.value(run, key)));
      return found.size > 1;
    });
  }

  function first(keys) {
    const few = keys.find((key) => {
      if (key === "seed" || key === "state") return false;
      return new Set(page.runs.map((run) => page.value(run, key))).size <= page.SEVERAL;
    });
    return few || "";
  }

  page.buildColours = function buildColours() {
    const select = document.getElementById("colour");
    const keys = candidates();
    page.colourKey = page.recall("colour", first(keys));
    if (!keys.includes(page.colourKey)) page.colourKey = "";
    page.options(select, [["", "one for all"], ...keys.map((key) => [key, key])], page.colourKey);
    select.addEventListener("change", () => {
      page.colourKey = select.value;
      page.keep("colour", select.value);
      page.emit("colour");
    });
  };

  // Of the field `c` in a datum: the encodings for colour and shape, and the datum's value. The
  // options are those of all runs, so that a colour keeps its meaning when runs are filtered away.
  page.colouring = function colouring(by) {
    const key = by ?? page.colourKey;
    if (!key) return { of: () => "", colour: { value: page.palette()[0] }, shape: null };
    const found = [...new Set(page.runs.map((run) => page.value(run, key)))].filter((v) => v !== null);
    const numeric = found.every((text) => text !== "" && Number.isFinite(Number(text)));
    if (numeric && found.length > page.SEVERAL) {
      return {
        of: (run) => {
          const value = page.value(run, key);
          return value === null ? null : Number(value);
        },
        colour: {
          field: "c", type: "quantitative", title: key,
          scale: { scheme: "viridis", type: spread(found) ? "log" : "linear" },
        },
        shape: null,
      };
    }
    const options = numeric ? found.sort((a, b) => a - b) : found.sort();
    const few = options.length <= page.SEVERAL;
    const domain = few && options.length < page.SEVERAL ? [...options, page.NONE] : options;
    const used = page.runs.some((run) => page.value(run, key) === null) ? domain : options;
    const scale = few
      ? { domain: used, range: page.palette().slice(0, used.length) }
      : { domain: options, scheme: "tableau20" };
    return {
      of: (run) => page.value(run, key) ?? page.NONE,
      colour: { field: "c", type: "nominal", title: key, scale },
      shape: few
        ? { field: "c", type: "nominal", title: key, scale: { domain: used, range: page.SHAPES.slice(0, used.length) } }
        : null,
    };
  };

  function spread(texts) {
    const values = texts.map(Number);
    return Math.min(...values) > 0 && Math.max(...values) > 30 * Math.min(...values);
  }

  // -- conditions -----------------------------------------------------------------------------

  const LATENCY = ["device", "threads", "backend", "latency precision", "latency batch", "latency size"];
  const COST = ["input size"];
  const SCORES = ["data", "split", "validation", "void", "precision"];

  function conditionsOf(key) {
    const words = key.split("/");
    if (words[0] === "latency") return LATENCY;
    if (words[0] === "model") return words[1] === "params" ? [] : COST;
    return ["val", "test"].includes(words[0]) || page.kind(key) === "share" ? SCORES : [];
  }

  // In words, for figures of these runs: "latency p50: eager, batch 1, ..."; what differs is said.
  page.conditions = function conditions(figures, runs) {
    const told = [];
    for (const key of figures) {
      const parts = [];
      for (const name of conditionsOf(key)) {
        const found = new Set(
          runs.filter((run) => page.figure(run, key) !== null).map((run) => (run.environment || {})[name])
        );
        const unsure = found.delete(undefined) ? " where known" : "";
        if (found.size === 1) parts.push(`${name.replace("latency ", "")} ${[...found][0]}${unsure}`);
        else if (found.size > 1) parts.push(`${name.replace("latency ", "")} not the same in all runs`);
      }
      if (parts.length) told.push(`${page.label(key)}: ${parts.join(", ")}`);
    }
    return told.length ? `${told.join(". ")}.` : "";
  };
})(window.page);
