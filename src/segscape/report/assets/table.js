// All runs in a table: sortable, with chosen columns; a click pins.
(function (page) {
  "use strict";
  const { el } = page;
  const section = document.getElementById("runs");
  const FIRST = [
    "val/miou", "val/boundary_iou", "val/pixel_accuracy", "test/miou", "latency/p50_ms",
    "latency/fps", "model/macs", "model/params", "val/loss",
  ];
  const rows = new Map();
  let shownKeys = [];
  let sorted = page.recall("sort", null);
  let body = null;
  let head = null;

  page.tableKeys = function tableKeys() {
    const wanted = [...page.objectives.map(([, key]) => key), ...FIRST];
    return page.unique(wanted.filter((key) => page.keys.includes(key)));
  };

  function columns() {
    const choices = page.varied.map((key) => ({
      id: `choice ${key}`, title: key, figure: false,
      value: (run) => page.value(run, key), text: (run) => page.value(run, key) ?? page.NONE,
    }));
    const figures = shownKeys.map((key) => ({
      id: key, title: page.label(key), unit: page.unit(key), figure: true, way: page.direction(key),
      value: (run) => page.figure(run, key), text: (run) => page.show(key, page.figure(run, key)),
    }));
    const own = (id, title) => ({ id, title, value: (run) => run[id], text: (run) => run[id] });
    // Accuracy and cost are beside the name: a phone shows them without moving the table.
    const main = page.objectives.map(([, key]) => key);
    const [first, rest] = [true, false].map((is) => figures.filter((figure) => main.includes(figure.id) === is));
    const state = page.valuesOf("state")[0].length > 1 ? [own("state", "state")] : [];
    return [own("name", "run"), ...first, ...state, ...choices, ...rest];
  }

  // Which runs have the best value of a column, among those shown.
  function winners(column) {
    if (!column.way) return new Set();
    const known = page.visible.filter((run) => page.done(run) && column.value(run) !== null);
    const most = (column.way === "max" ? Math.max : Math.min)(...known.map(column.value));
    return new Set(known.length < 2 ? [] : known.filter((run) => column.value(run) === most).map((run) => run.id));
  }

  function compare(column, descending) {
    return (one, other) => {
      const [a, b] = [column.value(one), column.value(other)];
      if (a === null || b === null) return (a === null) - (b === null); // unknown last, always
      const both = page.numeric(a) && page.numeric(b);
      const found = both ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
      return descending ? -found : found;
    };
  }

  function sort(column) {
    const first = column.figure && column.way !== "min";
    const again = sorted && sorted.id === column.id;
    sorted = { id: column.id, descending: again ? !sorted.descending : first };
    page.keep("sort", sorted);
    fill();
  }

  function heading(column) {
    const by = sorted && sorted.id === column.id ? (sorted.descending ? "descending" : "ascending") : null;
    return el("th", { scope: "col", class: column.figure ? "figure" : "", "aria-sort": by },
      el("button", { type: "button", onclick: () => sort(column) },
        column.title,
        column.unit ? el("span", { class: "unit" }, ` (${column.unit})`) : "",
        el("span", { class: "arrow", "aria-hidden": "true" }, by === "ascending" ? " ▲" : by ? " ▼" : "")));
  }

  function row(run, all) {
    const made = el("tr", { "data-id": run.id });
    for (const column of all) {
      if (column.id === "name") {
        made.append(el("th", { scope: "row" },
          el("button", { type: "button", class: "name", "aria-pressed": "false", title: `${run.name}\n${run.path}` }, run.name),
          page.front.has(run.id) ? el("span", { class: "star", title: page.FRONT }, " ★", el("span", { class: "unseen" }, " on the front")) : ""));
      } else if (column.id === "state") {
        made.append(el("td", {}, el("span", { class: `state ${run.state}`, title: run.error || "" }, run.state)));
      } else {
        made.append(el("td", { class: column.figure ? "figure" : "", "data-column": column.id }, column.text(run)));
      }
    }
    made.addEventListener("click", () => {
      if (String(window.getSelection())) return; // a figure is being copied
      page.pin(run.id);
    });
    return made;
  }

  function fill() {
    const all = columns();
    const column = sorted && all.find((candidate) => candidate.id === sorted.id);
    const ordered = column ? [...page.runs].sort(compare(column, sorted.descending)) : page.best(page.runs);
    head.replaceChildren(el("tr", {}, all.map(heading)));
    for (const run of ordered) if (!rows.has(run.id)) rows.set(run.id, row(run, all));
    body.replaceChildren(...ordered.map((run) => rows.get(run.id)));
    hide();
  }

  function hide() {
    const shown = new Set(page.visible.map((run) => run.id));
    for (const [id, made] of rows) made.hidden = !shown.has(id);
    const figures = columns().filter((column) => column.figure);
    for (const column of figures) {
      const best = winners(column);
      for (const [id, made] of rows) {
        const cell = made.querySelector(`[data-column="${CSS.escape(column.id)}"]`);
        cell.classList.toggle("best", best.has(id));
      }
    }
  }

  function mark() {
    for (const [id, made] of rows) {
      const pinned = page.pins.includes(id);
      made.classList.toggle("pinned-row", pinned);
      made.querySelector("button.name").setAttribute("aria-pressed", String(pinned));
      if (pinned) made.style.setProperty("--pin", page.pinColour(id));
    }
  }

  function chooser() {
    const list = el("div", { class: "choices" }, page.keys.map((key) => {
      const box = el("input", {
        type: "checkbox", checked: shownKeys.includes(key),
        onchange: () => {
          shownKeys = box.checked ? [...shownKeys, key] : shownKeys.filter((other) => other !== key);
          page.keep("columns", shownKeys);
          rows.clear();
          fill();
          mark();
        },
      });
      return el("label", {}, box, ` ${page.titled(key)} `, el("code", {}, key));
    }));
    return el("details", { class: "columns" }, el("summary", {}, "Columns"), list);
  }

  page.buildTable = function buildTable() {
    shownKeys = page.recall("columns", page.tableKeys()).filter((key) => page.keys.includes(key));
    head = el("thead", {});
    body = el("tbody", {});
    const table = el("table", { class: "runs" }, head, body);
    section.querySelector(".body").append(
      chooser(),
      el("div", { class: "wide tall-table", tabindex: "0", role: "group", "aria-label": "Table of runs" }, table),
      el("p", { class: "note" }, "★ on the front of ",
        page.objectives.map(([way, key]) => `${page.label(key)} (${way === "max" ? "more" : "less"} is better)`).join(" and "),
        ", of all finished runs, each for itself. Bold: best of the finished runs shown. Click a row to pin it.")
    );
    fill();
    mark();
    page.on("filter", hide);
    page.on("pin", mark);
    page.on("theme", mark);
  };
})(window.page);
