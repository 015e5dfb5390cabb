// Cost by part: stacked bars, one per design, since seeds do not change it.
(function (page) {
  "use strict";
  const { el } = page;
  const MOST = 30;
  const section = document.getElementById("cost");
  const ORDER = ["encoder", "context", "decoder", "fusion", "head"];

  // "model/macs" -> ["model/macs/encoder", ...], of the families with more than one part.
  function families() {
    const found = {};
    for (const key of page.keys) {
      const words = key.split("/");
      if (words[0] !== "model" || words.length < 3) continue;
      const family = words.slice(0, 2).join("/");
      (found[family] = found[family] || []).push(key);
    }
    const place = (key) => (ORDER.indexOf(part(key)) + 1 || ORDER.length + 1);
    for (const keys of Object.values(found)) keys.sort((a, b) => place(a) - place(b));
    return Object.fromEntries(Object.entries(found).sort(([a], [b]) => rank(a) - rank(b)));
  }

  const rank = (family) => ["model/macs", "model/params", "model/flops"].indexOf(family) + 1 || 9;
  const part = (key) => key.split("/").slice(2).join("/");

  const total = (run, keys) => keys.reduce((sum, key) => sum + (page.figure(run, key) || 0), 0);

  // One run per design and cost, best first.
  function designs(keys) {
    const seen = new Map();
    for (const run of page.best(page.visible)) {
      if (!keys.some((key) => page.figure(run, key) !== null)) continue;
      const mark = `${run.design || run.id} ${keys.map((key) => page.figure(run, key)).join(" ")}`;
      if (seen.has(mark)) seen.get(mark).runs += 1;
      else seen.set(mark, { run, runs: 1 });
    }
    return [...seen.values()];
  }

  // Names must differ, or bars of different designs would be put together.
  function named(list) {
    const counts = {};
    for (const { run } of list) counts[page.designName(run)] = (counts[page.designName(run)] || 0) + 1;
    const used = new Set();
    return list.map((entry) => {
      let name = page.designName(entry.run);
      if (counts[name] > 1) name = entry.run.name;
      if (used.has(name)) name = `${name} (${entry.run.id})`;
      used.add(name);
      return { ...entry, name };
    });
  }

  function spec(list, keys, share) {
    const totals = list.map(({ run }) => total(run, keys));
    const scale = share ? [0.01, "%"] : page.scale(keys[0], totals);
    const values = list.flatMap(({ run, name, runs }, at) =>
      keys.map((key, place) => ({
        design: name,
        part: part(key),
        place,
        value: (page.figure(run, key) || 0) / (share ? totals[at] || 1 : 1) / scale[0],
        ...page.tipFields([
          ["", name],
          ["", part(key)],
          ["", page.show(key, page.figure(run, key))],
          ["", `${((100 * (page.figure(run, key) || 0)) / (totals[at] || 1)).toFixed(1)} %`],
          ["", page.show(keys[0], totals[at])],
          ["", String(runs)],
        ]),
      }))
    );
    const family = keys[0].split("/").slice(0, 2).join("/");
    const titles = ["design", "part", page.label(family), "share", "all parts", "runs"];
    return {
      width: "container",
      height: 19 * list.length,
      description: `${page.label(family)} of ${list.length} designs by part`,
      data: { values },
      mark: { type: "bar", height: { band: 0.78 } },
      encoding: {
        y: {
          field: "design", type: "nominal", title: null, sort: list.map((entry) => entry.name),
          axis: { labelLimit: page.narrow() ? 150 : 300, ticks: false, domain: false, labelColor: page.css("text") },
        },
        x: {
          field: "value", type: "quantitative", title: `${page.label(family)}${scale[1] ? ` (${scale[1]})` : ""}`,
          axis: { tickCount: page.narrow() ? 3 : 6 }, ...(share ? { scale: { domain: [0, 100] } } : {}),
        },
        color: {
          field: "part", type: "nominal", title: null,
          scale: { domain: keys.map(part), range: keys.map((_, i) => page.palette()[i % page.SEVERAL]) },
        },
        order: { field: "place" },
        tooltip: titles.map((title, i) => ({ field: `t${i}`, type: "nominal", title })),
      },
    };
  }

  page.buildCost = function buildCost() {
    const found = families();
    if (!Object.keys(found).length) {
      section.hidden = true;
      return;
    }
    const body = section.querySelector(".body");
    const which = el("select", { onchange: () => redraw() });
    page.options(which, Object.keys(found).map((family) => [family, page.label(family)]), Object.keys(found)[0]);
    const share = el("input", { type: "checkbox", onchange: () => redraw() });
    const all = el("input", { type: "checkbox", onchange: () => redraw() });
    const order = el("select", { onchange: () => redraw() });
    page.options(order, [["best", "best first"], ["cost", "cheapest first"]], "best");
    const allLabel = el("label", {}, all, " all designs");
    const chart = el("div", { class: "chart" });
    const note = el("p", { class: "note" });
    body.append(
      el("div", { class: "controls" }, el("label", {}, "Of ", which), el("label", {}, "Order ", order), el("label", {}, share, " as shares"), allLabel),
      chart, note
    );
    page.reserve(chart, 19 * Math.min(MOST, designs(Object.values(found)[0]).length) + 75);
    const redraw = page.lazily(section, ["filter", "theme"], () => {
      const keys = found[which.value];
      const every = designs(keys);
      const cheapest = order.value === "cost";
      if (cheapest) every.sort((one, other) => total(one.run, keys) - total(other.run, keys));
      const list = named(all.checked ? every : every.slice(0, MOST));
      allLabel.hidden = every.length <= MOST;
      note.textContent = [
        every.length > list.length ? `${list.length} of ${every.length} designs,` : `${list.length} ${list.length === 1 ? "design" : "designs"},`,
        cheapest ? "cheapest first;" : `best first${page.objectives.length ? ` by ${page.label(page.objectives[0][1])}` : ""};`,
        "runs that differ only in the seed are one bar.",
        page.conditions(which.value === "model/params" ? [] : [which.value], page.visible),
      ].join(" ");
      if (list.length) page.draw(chart, spec(list, keys, share.checked), { renderer: "svg" });
      else page.undraw(chart, "No shown run knows the cost of its parts.");
    });
  };
})(window.page);
