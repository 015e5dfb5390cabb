// Pinned runs, side by side: choices that differ first, then figures, conditions and why one failed.
(function (page) {
  "use strict";
  const { el } = page;
  const host = document.getElementById("details");

  // Sections of the comparison: rows of a title, the runs' texts, and which is best (of figures).
  function sections(runs) {
    const keysOf = (field) => page.unique(runs.flatMap((run) => Object.keys(run[field])));
    const keys = page.unique([...keysOf("choices"), ...keysOf("settings")]);
    const known = page.keys.filter((key) => runs.some((run) => page.figure(run, key) !== null));
    const main = page.tableKeys().filter((key) => known.includes(key));
    const value = (key) => [key, runs.map((run) => page.value(run, key) ?? page.NONE), null];
    const figure = (key) => [page.titled(key), runs.map((run) => page.show(key, page.figure(run, key))), best(runs, key)];
    const seeds = runs.some((run) => run.seed !== null) ? ["seed", runs.map((run) => String(run.seed ?? page.NONE)), null] : null;
    return {
      Choices: page.known([
        value("state"), ...keys.filter((key) => page.varied.includes(key) && key !== "seed").map(value), seeds,
      ]),
      Figures: main.map(figure),
      "More figures": known.filter((key) => !main.includes(key) && key.split("/")[1] !== "iou").map(figure),
      "Same in all runs of the report": keys.filter((key) => !page.varied.includes(key)).map(value),
      "Taken under": keysOf("environment").map((key) => [key, runs.map((run) => run.environment[key] ?? page.NONE), null]),
    };
  }

  // Which run is best, where it is known which way is better and they differ.
  function best(runs, key) {
    const way = page.direction(key);
    const values = runs.map((run) => page.figure(run, key));
    const known = page.known(values);
    if (!way || page.unique(known).length < 2) return [];
    const most = way === "max" ? Math.max(...known) : Math.min(...known);
    return values.map((value) => value === most);
  }

  function part(name, entries, runs, open) {
    if (!entries.length) return [];
    const body = entries.map(([title, values, winners]) => {
      const differs = values.some((value) => value !== values[0]);
      return el("tr", { class: runs.length > 1 && differs ? "differs" : "" },
        el("th", { scope: "row" }, title),
        values.map((value, i) =>
          el("td", { class: `${winners ? "figure" : ""}${winners && winners[i] ? " best" : ""}` }, value)
        )
      );
    });
    if (open) return [el("tbody", {}, body)];
    const rest = el("tbody", { hidden: true }, body);
    const button = el("button", {
      type: "button", class: "quiet", "aria-expanded": "false",
      onclick: () => {
        rest.hidden = !rest.hidden;
        button.setAttribute("aria-expanded", String(!rest.hidden));
      },
    }, name);
    return [el("tbody", { class: "heading" }, el("tr", {}, el("th", { colSpan: runs.length + 1 }, button))), rest];
  }

  function heading(run) {
    return el("th", { scope: "col", style: `--pin:${page.pinColour(run.id)}` },
      el("span", { class: "name" }, run.name, page.front.has(run.id) ? el("span", { class: "star", title: page.FRONT }, " ★") : ""),
      el("button", {
        type: "button", class: "quiet close", "aria-label": `Unpin ${run.name}`, title: "Unpin",
        onclick: () => page.pin(run.id),
      }, "×")
    );
  }

  function draw() {
    const runs = page.pins.map((id) => page.byId.get(id));
    if (!runs.length) {
      host.replaceChildren();
      return;
    }
    const open = ["Choices", "Figures"];
    const table = el("table", { class: "pinned" },
      el("thead", {}, el("tr", {}, el("td", {}), runs.map(heading))),
      Object.entries(sections(runs)).flatMap(([name, entries]) => part(name, entries, runs, open.includes(name)))
    );
    const errors = runs.filter((run) => run.error).map((run) =>
      el("div", { class: "error" }, el("strong", {}, run.name), el("pre", {}, run.error))
    );
    const places = el("ul", { class: "places" }, runs.map((run) => el("li", {}, el("code", {}, run.path))));
    host.replaceChildren(
      el("div", { class: "headline" },
        el("h3", {}, runs.length === 1 ? "Pinned run" : `${runs.length} pinned runs`),
        el("button", { type: "button", class: "quiet", onclick: page.unpinAll }, "Unpin all")
      ),
      el("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Pinned runs compared" }, table),
      ...errors, places
    );
  }

  page.buildDetails = function buildDetails() {
    page.on("pin", draw);
    page.on("theme", draw);
    draw();
  };
})(window.page);
