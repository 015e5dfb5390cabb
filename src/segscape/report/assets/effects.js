// What each choice does to a figure: marginal means with 95 % intervals. Of all runs as the report
// computed them; of filtered ones computed here, the same way.
(function (page) {
  "use strict";
  const { el, unique } = page;
  const section = document.getElementById("effects");
  const by = (effects, field) => [...page.group(effects, (effect) => effect[field])];

  // Titled texts of an effect, for its tooltip and its table.
  function fieldsOf(effect) {
    const [mean, low, high] = [effect.mean, effect.low, effect.high].map((value) => page.show(effect.figure, value));
    const unit = page.unit(effect.figure);
    return [
      ["option", effect.option],
      ["mean", `${mean}${unit ? ` ${unit}` : ""}`],
      ["95 % interval", effect.low === null ? "no interval" : `${low} to ${high}`],
      ["runs", String(effect.runs)],
    ];
  }

  function spec(list, limits) {
    const [{ factor, figure }] = list;
    const [divisor, unit] = page.scale(figure, limits);
    const way = page.direction(figure);
    const most = (way === "min" ? Math.min : Math.max)(...list.map((effect) => effect.mean));
    const best = list.find((effect) => effect.mean === most);
    const values = list.map((effect) => ({
      option: effect.option, mean: effect.mean / divisor,
      low: (effect.low ?? effect.mean) / divisor, high: (effect.high ?? effect.mean) / divisor,
      best: Boolean(way) && effect === best && effect.balanced, tooltip: page.tip(fieldsOf(effect)),
    }));
    const y = {
      field: "option", type: "nominal", title: null, sort: list.map((effect) => effect.option),
      axis: { labelLimit: 130, ticks: false, domain: false, labelColor: page.css("text"), grid: true },
    };
    const x = {
      field: "mean", type: "quantitative", title: page.axisTitle(figure, unit), axis: { tickCount: 5 },
      scale: { domain: limits.map((value) => value / divisor), nice: true, zero: false },
    };
    const color = { condition: { test: "datum.best", value: page.palette()[0] }, value: page.css("faint") };
    return {
      height: 24 * list.length,
      description: `${factor}: ${page.label(figure)} by option`,
      data: { values },
      encoding: { y, x, color, tooltip: page.TIP },
      layer: [
        { mark: { type: "rule", strokeWidth: 2, clip: true }, encoding: { x: { ...x, field: "low" }, x2: { field: "high" } } },
        { mark: { type: "point", filled: true, size: 90, opacity: 1 } },
      ],
    };
  }

  // For those who cannot see the chart, and for copying.
  function table(list) {
    const rows = list.map((effect) => fieldsOf(effect).map(([, text], i) => (i ? el("td", {}, text) : el("th", { scope: "row" }, text))));
    return el("table", {},
      el("caption", {}, `${list[0].factor}: ${page.titled(list[0].figure)}`),
      el("thead", {}, el("tr", {}, fieldsOf(list[0]).map(([title]) => el("th", { scope: "col" }, title)))),
      el("tbody", {}, rows.map((cells) => el("tr", {}, cells)))
    );
  }

  // The same range for all factors of a figure: a choice that does little looks like one. A huge
  // interval of two runs must not squeeze all others into a point.
  function range(effects) {
    const ends = effects.flatMap(({ mean, low, high, runs }) => (runs > 2 ? [low ?? mean, high ?? mean] : [mean]));
    const [low, high] = [Math.min(...ends), Math.max(...ends)];
    const margin = (high - low) * 0.06 || Math.abs(high) * 0.05 || 1;
    return [low - margin, high + margin];
  }

  // -- the section ----------------------------------------------------------------------------

  const hosts = new Map(); // a chart keeps its element: Vega draws the new one in place of the old

  function cell(list, charts) {
    const key = JSON.stringify([list[0].factor, list[0].figure]);
    if (!hosts.has(key)) hosts.set(key, el("div", { class: "chart", "aria-hidden": "true" }));
    const chart = hosts.get(key);
    page.reserve(chart, 24 * list.length + 50);
    charts.push([chart, list]);
    return el("div", { class: "cell" }, chart, el("div", { class: "unseen" }, table(list)));
  }

  function blocks(effects, charts) {
    const figures = unique(effects.map((effect) => effect.figure));
    return by(effects, "factor").map(([factor, own]) => {
      const lists = figures.map((figure) => own.filter((effect) => effect.figure === figure));
      const flag = own.some((effect) => !effect.balanced)
        ? el("span", { class: "flag", title: "The options met different partners." }, "not balanced: compare with care")
        : null;
      return el("div", { class: "factor" },
        el("h3", {}, factor, " ", flag),
        el("div", { class: "cells" }, lists.filter((list) => list.length).map((list) => cell(list, charts))));
    });
  }

  // What filtered means leave out; of all runs the warnings above have it.
  function partial(effects) {
    const counts = by(effects, "factor").flatMap(([factor, own]) => {
      const counted = by(own, "figure").map(([figure, list]) => {
        const [used, all] = ["runs", "measured"].map((key) => page.sum(list.map((effect) => effect[key])));
        return { figure, text: `${used} of ${all} for ${factor}`, less: list[0].balanced && used < all };
      });
      if (counted.every((count) => count.text === counted[0].text && count.less)) return [counted[0].text];
      return counted.filter((count) => count.less).map((count) => `${count.text} (${page.label(count.figure)})`);
    });
    return counts.length ? ` Only runs whose partners all options have met count: ${counts.join("; ")}.` : "";
  }

  function noteOn(effects) {
    const about = "Marginal means over the runs with each option, with 95 % intervals; the best of a balanced comparison is coloured. All factors share the axis of a figure.";
    if (!page.filtered()) return `Of all finished runs. ${about}`;
    const done = page.count(page.visible.filter(page.done).length, "finished run");
    const which = `Of the ${done} that the filters leave.`;
    if (!effects.length) return `${which} No choice varies among them in a figure that varies.`;
    return `${which}${partial(effects)} ${about}`;
  }

  page.buildEffects = function buildEffects() {
    section.hidden = !page.data.effects.length;
    if (section.hidden) return;
    const note = el("p", { class: "note", role: "status" });
    const place = el("div", { class: "factors" });
    section.querySelector(".body").append(note, place);
    const fill = () => {
      const effects = page.filtered() ? page.effectsOf(page.visible) : page.data.effects;
      const charts = [];
      place.replaceChildren(...blocks(effects, charts));
      note.textContent = noteOn(effects);
      const limits = new Map(by(effects, "figure").map(([figure, list]) => [figure, range(list)]));
      return () => charts.forEach(([chart, list]) => page.draw(chart, spec(list, limits.get(list[0].figure))));
    };
    fill(); // its height, before it is in view
    page.lazily(section, ["filter", "theme"], () => fill()());
  };
})(window.page);
