// What colour a run has, the same in every chart; and the conditions that figures were taken under.
(function (page) {
  "use strict";

  page.buildColours = function buildColours() {
    const select = document.getElementById("colour");
    const keys = [...page.varied, "state"].filter(
      (key) => new Set(page.runs.map((run) => page.value(run, key))).size > 1
    );
    const few = (key) => new Set(page.runs.map((run) => page.value(run, key))).size <= page.SEVERAL;
    const usual = keys.find((key) => key !== "seed" && key !== "state" && few(key)) || "";
    page.colourKey = page.recall("colour", usual);
    if (!keys.includes(page.colourKey)) page.colourKey = "";
    page.options(select, [["", "one for all"], ...keys.map((key) => [key, key])], page.colourKey);
    page.keptSelect(select, "colour", () => {
      page.colourKey = select.value;
      page.emit("colour");
    });
  };

  // Of the field `c` in a datum: the encodings for colour and shape, and the datum's value. The
  // options are those of all runs, so that a colour keeps its meaning when runs are filtered away.
  page.colouring = function colouring(key = page.colourKey) {
    if (!key) return { of: () => "", colour: { value: page.palette()[0] }, shape: null };
    const [options, numeric] = page.valuesOf(key);
    const few = options.length <= page.SEVERAL;
    if (numeric && !few) {
      const type = options[0] > 0 && options[options.length - 1] > 30 * options[0] ? "log" : "linear";
      const colour = { field: "c", type: "quantitative", title: key, scale: { scheme: "viridis", type } };
      const of = (run) => (page.value(run, key) === null ? null : Number(page.value(run, key)));
      return { of, colour, shape: null };
    }
    const lacking = page.runs.some((run) => page.value(run, key) === null);
    const domain = lacking && options.length < page.SEVERAL ? [...options, page.NONE] : options;
    const by = (scale) => ({ field: "c", type: "nominal", title: key, scale });
    return {
      of: (run) => page.value(run, key) ?? page.NONE,
      colour: by(few ? { domain, range: page.palette().slice(0, domain.length) } : { domain, scheme: "tableau20" }),
      shape: few ? by({ domain, range: page.SHAPES.slice(0, domain.length) }) : null,
    };
  };

  // -- conditions -----------------------------------------------------------------------------

  const LATENCY = ["device", "threads", "backend", "latency precision", "latency batch", "latency size"];
  const SCORES = ["data", "split", "validation", "void", "precision"];

  function conditionsOf(key) {
    const words = key.split("/");
    if (words[0] === "latency") return LATENCY;
    if (words[0] === "model") return words[1] === "params" ? [] : ["input size"];
    return ["val", "test"].includes(words[0]) || page.kind(key) === "share" ? SCORES : [];
  }

  // In words, for figures of these runs: "latency p50: eager, batch 1, ..."; what differs is named.
  page.conditions = function conditions(figures, runs) {
    const sentences = figures.map((key) => {
      const measured = runs.filter((run) => page.figure(run, key) !== null);
      const parts = conditionsOf(key).map((name) => {
        const found = new Set(measured.map((run) => run.environment[name]));
        const unsure = found.delete(undefined) ? " where known" : "";
        const value = found.size > 1 ? "not the same in all runs" : `${[...found][0]}${unsure}`;
        return found.size ? `${name.replace("latency ", "")} ${value}` : null;
      });
      return page.known(parts).length ? `${page.label(key)}: ${page.known(parts).join(", ")}` : null;
    });
    return page.known(sentences).map((text) => `${text}.`).join(" ");
  };
})(window.page);
