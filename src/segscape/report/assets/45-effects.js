// What each choice does to a figure: marginal means with 95 % intervals, as the report computed them.
(function (page) {
  "use strict";
  const { el } = page;
  const section = document.getElementById("effects");
  const effects = page.data.effects || [];
  const unique = (values) => [...new Set(values)];

  function describe(effect) {
    const [mean, low, high] = [effect.mean, effect.low, effect.high].map((value) => page.show(effect.figure, value));
    const unit = page.unit(effect.figure);
    const interval = effect.low === null ? "no interval" : `${low} to ${high}`;
    return { mean: `${mean}${unit ? ` ${unit}` : ""}`, interval, runs: String(effect.runs) };
  }

  function spec(list, domain, scale, title) {
    const key = list[0].figure;
    const way = page.direction(key);
    const best = list.reduce((found, effect) =>
      (way === "min" ? effect.mean < found.mean : effect.mean > found.mean) ? effect : found
    );
    const values = list.map((effect) => {
      const told = describe(effect);
      return {
        option: effect.option, mean: effect.mean / scale[0], runs: effect.runs,
        low: (effect.low ?? effect.mean) / scale[0], high: (effect.high ?? effect.mean) / scale[0],
        best: Boolean(way) && effect === best && effect.balanced,
        t0: effect.option, t1: told.mean, t2: told.interval, t3: told.runs,
      };
    });
    const y = {
      field: "option", type: "nominal", title: null, sort: list.map((effect) => effect.option),
      axis: { labelLimit: 130, ticks: false, domain: false, labelColor: page.css("text"), grid: true },
    };
    const x = {
      type: "quantitative", title, scale: { domain, nice: true, zero: false },
      axis: { tickCount: 5 },
    };
    const tooltip = ["option", "mean", "95 % interval", "runs"].map((name, i) => ({ field: `t${i}`, type: "nominal", title: name }));
    const color = { condition: { test: "datum.best", value: page.palette()[0] }, value: page.css("faint") };
    return {
      width: "container",
      height: 24 * list.length,
      description: `${list[0].factor}: ${page.label(key)} by option`,
      data: { values },
      layer: [
        { mark: { type: "rule", strokeWidth: 2 }, encoding: { y, x: { ...x, field: "low" }, x2: { field: "high" }, color, tooltip } },
        { mark: { type: "point", filled: true, size: 90, opacity: 1 }, encoding: { y, x: { ...x, field: "mean" }, color, tooltip } },
      ],
    };
  }

  // For those who cannot see the chart, and for copying.
  function table(list) {
    const key = list[0].figure;
    return el("table", {},
      el("caption", {}, `${list[0].factor}: ${page.titled(key)}`),
      el("thead", {}, el("tr", {}, ["option", "mean", "95 % interval", "runs"].map((text) => el("th", { scope: "col" }, text)))),
      el("tbody", {}, list.map((effect) => {
        const told = describe(effect);
        return el("tr", {}, el("th", { scope: "row" }, effect.option), el("td", {}, told.mean), el("td", {}, told.interval), el("td", {}, told.runs));
      }))
    );
  }

  // The same range for all factors of a figure: a choice that does little looks like one.
  function ranges() {
    const found = {};
    for (const effect of effects) {
      const [low, high] = [effect.low ?? effect.mean, effect.high ?? effect.mean];
      const known = found[effect.figure] || [Infinity, -Infinity];
      // A huge interval of two runs must not squeeze all others into a point.
      const [least, most] = effect.runs > 2 ? [low, high] : [effect.mean, effect.mean];
      found[effect.figure] = [Math.min(known[0], least), Math.max(known[1], most)];
    }
    for (const [figure, [low, high]] of Object.entries(found)) {
      const margin = (high - low) * 0.06 || Math.abs(high) * 0.05 || 1;
      found[figure] = [low - margin, high + margin];
    }
    return found;
  }

  page.buildEffects = function buildEffects() {
    if (!effects.length) {
      section.hidden = true;
      return;
    }
    const body = section.querySelector(".body");
    const figures = unique(effects.map((effect) => effect.figure));
    const factors = unique(effects.map((effect) => effect.factor));
    const filtered = el("p", { class: "notice", hidden: true, role: "status" },
      "These means are of all finished runs of the report: filters do not change them.");
    const limits = ranges();
    const charts = [];
    const blocks = factors.map((factor) => {
      const own = effects.filter((effect) => effect.factor === factor);
      const flag = own.some((effect) => !effect.balanced)
        ? el("span", { class: "flag", title: "The options met different partners or numbers of runs." }, "not balanced: compare with care")
        : null;
      const cells = figures.map((figure) => {
        const list = own.filter((effect) => effect.figure === figure);
        if (!list.length) return null;
        const chart = el("div", { class: "chart", "aria-hidden": "true" });
        page.reserve(chart, 24 * list.length + 50);
        charts.push([chart, list, figure]);
        return el("div", { class: "cell" }, chart, el("div", { class: "unseen" }, table(list)));
      });
      return el("div", { class: "factor" }, el("h3", {}, factor, " ", flag), el("div", { class: "cells" }, cells));
    });
    body.append(
      filtered,
      el("p", { class: "note" },
        "Marginal means over the runs with each option, with 95 % intervals; the best of a balanced comparison is coloured. ",
        "All factors share the axis of a figure."),
      el("div", { class: "factors" }, blocks)
    );
    const tell = () => (filtered.hidden = !page.filtered());
    page.on("filter", tell);
    tell();
    page.lazily(section, ["theme"], () => {
      for (const [chart, list, figure] of charts) {
        const scale = page.scale(figure, limits[figure]);
        const unit = scale[1] ? ` (${scale[1]})` : "";
        const way = { max: " →", min: "" }[page.direction(figure)] || "";
        const before = page.direction(figure) === "min" ? "← " : "";
        const title = `${before}${page.label(figure)}${unit}${way}`;
        page.draw(chart, spec(list, limits[figure].map((value) => value / scale[0]), scale, title), { renderer: "svg" });
      }
    });
  };
})(window.page);
