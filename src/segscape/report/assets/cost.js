// Cost by part: stacked bars, one per design, since seeds do not change it.
(function (page) {
  "use strict";
  const { el } = page;
  const MOST = 30;
  const section = document.getElementById("cost");
  const FAMILIES = ["model/macs", "model/params", "model/flops"];
  const PARTS = ["encoder", "context", "decoder", "fusion", "head"];

  const rank = (list, item) => list.indexOf(item) + 1 || list.length + 1;
  const familyOf = (key) => key.split("/").slice(0, 2).join("/");
  const part = (key) => key.split("/").slice(2).join("/");

  // "model/macs" -> ["model/macs/encoder", ...], of the families with parts.
  function families() {
    const found = page.group(page.keys.filter((key) => /^model\/[^/]+\//.test(key)), familyOf);
    for (const keys of found.values()) keys.sort((a, b) => rank(PARTS, part(a)) - rank(PARTS, part(b)));
    return new Map([...found].sort(([a], [b]) => rank(FAMILIES, a) - rank(FAMILIES, b)));
  }

  const total = (run, keys) => page.sum(keys.map((key) => page.figure(run, key) || 0));

  // One run per design and cost, best first.
  function designs(keys) {
    const known = page.best(page.visible).filter((run) => keys.some((key) => page.figure(run, key) !== null));
    const same = page.group(known, (run) => `${run.design || run.id} ${keys.map((key) => page.figure(run, key)).join(" ")}`);
    return [...same.values()].map((runs) => ({ run: runs[0], runs: runs.length }));
  }

  // Names must differ, or bars of different designs would be put together.
  function named(list) {
    const designs = list.map(({ run }) => page.designName(run));
    const used = new Set();
    return list.map((entry, at) => {
      const shared = designs.indexOf(designs[at]) !== designs.lastIndexOf(designs[at]);
      let name = shared ? entry.run.name : designs[at];
      if (used.has(name)) name = `${name} (${entry.run.id})`;
      used.add(name);
      return { ...entry, name };
    });
  }

  function spec(list, keys, share) {
    const totals = list.map(({ run }) => total(run, keys));
    const [divisor, unit] = share ? [0.01, "%"] : page.scale(keys[0], totals);
    const family = familyOf(keys[0]);
    const values = list.flatMap(({ run, name, runs }, at) =>
      keys.map((key, place) => {
        const own = page.figure(run, key) || 0;
        const fields = [
          ["design", name],
          ["part", part(key)],
          [page.label(family), page.show(key, page.figure(run, key))],
          ["share", `${((100 * own) / (totals[at] || 1)).toFixed(1)} %`],
          ["all parts", page.show(keys[0], totals[at])],
          ["runs", String(runs)],
        ];
        const value = own / (share ? totals[at] || 1 : 1) / divisor;
        return { design: name, part: part(key), place, value, tooltip: page.tip(fields) };
      })
    );
    return {
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
          field: "value", type: "quantitative", title: page.titled(family, unit),
          axis: { tickCount: page.narrow() ? 3 : 6 }, ...(share ? { scale: { domain: [0, 100] } } : {}),
        },
        color: {
          field: "part", type: "nominal", title: null,
          scale: { domain: keys.map(part), range: keys.map((_, i) => page.palette()[i % page.SEVERAL]) },
        },
        order: { field: "place" },
        tooltip: page.TIP,
      },
    };
  }

  page.buildCost = function buildCost() {
    const found = families();
    section.hidden = !found.size;
    if (section.hidden) return;
    const body = section.querySelector(".body");
    const which = el("select", { onchange: () => redraw() });
    const [first] = found.keys();
    page.options(which, [...found.keys()].map((family) => [family, page.label(family)]), first);
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
    page.reserve(chart, 19 * Math.min(MOST, designs(found.get(first)).length) + 75);
    const redraw = page.lazily(section, ["filter", "theme"], () => {
      const keys = found.get(which.value);
      const every = designs(keys);
      const cheapest = order.value === "cost";
      if (cheapest) every.sort((one, other) => total(one.run, keys) - total(other.run, keys));
      const list = named(all.checked ? every : every.slice(0, MOST));
      allLabel.hidden = every.length <= MOST;
      note.textContent = [
        `${every.length > list.length ? `${list.length} of ` : ""}${page.count(every.length, "design")},`,
        cheapest ? "cheapest first;" : `best first${page.objectives.length ? ` by ${page.label(page.objectives[0][1])}` : ""};`,
        "runs that differ only in the seed are one bar.",
        page.conditions([which.value], page.visible),
      ].join(" ");
      if (list.length) page.draw(chart, spec(list, keys, share.checked));
      else page.undraw(chart, "No shown run knows the cost of its parts.");
    });
  };
})(window.page);
