// What each choice does to a figure: marginal means with 95 % intervals. Of all runs as the report
// computed them; of filtered ones computed here, the same way.
(function (page) {
  "use strict";
  const { el } = page;
  const section = document.getElementById("effects");
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
        { mark: { type: "rule", strokeWidth: 2, clip: true }, encoding: { y, x: { ...x, field: "low" }, x2: { field: "high" }, color, tooltip } },
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
  function ranges(effects) {
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

  // -- the section ----------------------------------------------------------------------------

  const hosts = new Map(); // a chart keeps its element: Vega draws the new one in place of the old

  function cell(list, charts) {
    const [{ factor, figure }] = list;
    const key = JSON.stringify([factor, figure]);
    if (!hosts.has(key)) hosts.set(key, el("div", { class: "chart", "aria-hidden": "true" }));
    const chart = hosts.get(key);
    page.reserve(chart, 24 * list.length + 50);
    charts.push([chart, list, figure]);
    return el("div", { class: "cell" }, chart, el("div", { class: "unseen" }, table(list)));
  }

  function blocks(effects, charts) {
    const figures = unique(effects.map((effect) => effect.figure));
    return unique(effects.map((effect) => effect.factor)).map((factor) => {
      const own = effects.filter((effect) => effect.factor === factor);
      const lists = figures.map((figure) => own.filter((effect) => effect.figure === figure));
      const flag = own.some((effect) => !effect.balanced)
        ? el("span", { class: "flag", title: "The options met different partners." }, "not balanced: compare with care")
        : null;
      return el("div", { class: "factor" },
        el("h3", {}, factor, " ", flag),
        el("div", { class: "cells" }, lists.filter((list) => list.length).map((list) => cell(list, charts))));
    });
  }

  // What filtered means leave out; of all runs the warnings above say it.
  function partial(effects) {
    const told = unique(effects.map((effect) => effect.factor)).flatMap((factor) => {
      const own = effects.filter((effect) => effect.factor === factor);
      const counts = unique(own.map((effect) => effect.figure)).map((figure) => {
        const list = own.filter((effect) => effect.figure === figure);
        const [used, all] = ["runs", "measured"].map((key) => list.reduce((total, effect) => total + effect[key], 0));
        return { figure, text: `${used} of ${all} for ${factor}`, less: list[0].balanced && used < all };
      });
      const alike = counts.every((count) => count.text === counts[0].text && count.less);
      if (alike) return [counts[0].text];
      return counts.filter((count) => count.less).map((count) => `${count.text} (${page.label(count.figure)})`);
    });
    return told.length ? ` Only runs whose partners all options have met count: ${told.join("; ")}.` : "";
  }

  function said(effects) {
    const about = "Marginal means over the runs with each option, with 95 % intervals; the best of a balanced comparison is coloured. All factors share the axis of a figure.";
    if (!page.filtered()) return `Of all finished runs. ${about}`;
    const done = page.visible.filter(page.done).length;
    const which = `Of the ${done} finished ${done === 1 ? "run" : "runs"} that the filters leave.`;
    if (!effects.length) return `${which} No choice varies among them in a figure that varies.`;
    return `${which}${partial(effects)} ${about}`;
  }

  const current = () => (page.filtered() ? page.effectsOf(page.visible) : page.data.effects);

  function draw(charts, limits) {
    for (const [chart, list, figure] of charts) {
      const scale = page.scale(figure, limits[figure]);
      const unit = scale[1] ? ` (${scale[1]})` : "";
      const way = page.direction(figure);
      const title = `${way === "min" ? "← " : ""}${page.label(figure)}${unit}${way === "max" ? " →" : ""}`;
      page.draw(chart, spec(list, limits[figure].map((value) => value / scale[0]), scale, title), { renderer: "svg" });
    }
  }

  page.buildEffects = function buildEffects() {
    if (!page.data.effects.length) {
      section.hidden = true;
      return;
    }
    const note = el("p", { class: "note", role: "status" });
    const place = el("div", { class: "factors" });
    section.querySelector(".body").append(note, place);
    let charts = [];
    const fill = () => {
      const effects = current();
      charts = [];
      place.replaceChildren(...blocks(effects, charts));
      note.textContent = said(effects);
      return effects;
    };
    fill(); // its height, before it is looked at
    page.lazily(section, ["filter", "theme"], () => {
      const effects = fill();
      draw(charts, ranges(effects));
    });
  };
})(window.page);
