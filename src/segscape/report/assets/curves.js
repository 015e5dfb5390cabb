// Learning curves: one line per run that is shown; hover names it, click pins it.
(function (page) {
  "use strict";
  const { el } = page;
  const MOST = 30;
  const MOST_VALUES = 200;
  const section = document.getElementById("curves");

  // Keys of the curves that vary, objectives first and those of single classes last.
  function metrics() {
    const varies = (values) => new Set(page.known(values)).size > 1;
    const curves = page.runs.flatMap((run) => Object.entries(run.curves));
    const found = page.unique(curves.filter(([, values]) => varies(values)).map(([key]) => key));
    const keys = found.filter((key) => !["epoch", "step"].includes(key));
    const first = [...page.objectives.map(([, key]) => key), "val/miou", "val/loss", "train/loss"];
    return page.unique([...first.filter((key) => keys.includes(key)), ...keys.filter((k) => k.split("/").length < 3), ...keys]);
  }

  const along = (run) => ["epoch", "step"].find((key) => run.curves[key]) || null;

  // The best runs that are shown, the pinned ones with them, and of how many.
  function chosen(key) {
    const known = page.visible.filter((run) => along(run) && page.known(run.curves[key] || []).length);
    const picked = page.best(known).filter((run, i) => i < MOST || page.pins.includes(run.id));
    return [picked, known.length];
  }

  function values(runs, key, divisor, colouring) {
    return runs.flatMap((run) => {
      const [xs, ys] = [run.curves[along(run)], run.curves[key]];
      const every = Math.max(1, Math.ceil(ys.length / MOST_VALUES));
      const known = page.known(ys);
      const always = [ys.indexOf(Math.max(...known)), ys.indexOf(Math.min(...known)), ys.length - 1];
      const fields = { id: run.id, name: run.name, c: colouring.of(run), pinned: page.pins.includes(run.id) };
      return ys.flatMap((y, i) => {
        if (y === null || xs[i] === null || (i % every && !always.includes(i))) return [];
        const tip = page.tip([["run", run.name], [along(run), xs[i]], [page.label(key), page.showWithUnit(key, y)]]);
        return [{ ...fields, at: xs[i], y: y / divisor, tooltip: tip }];
      });
    });
  }

  function spec(runs, key, colouring) {
    const all = runs.flatMap((run) => page.known(run.curves[key]));
    const [divisor, unit] = page.scale(key, all);
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const log = page.direction(key) === "min" && low > 0 && high > 20 * low;
    const highlit = (hovered, pinned, value) => ({
      condition: [{ param: "hovered", empty: false, value: hovered }, { test: "datum.pinned", value: pinned }], value,
    });
    return {
      height: page.narrow() ? 260 : 340,
      description: `${page.label(key)} of ${runs.length} runs over training`,
      data: { values: values(runs, key, divisor, colouring) },
      encoding: {
        x: { field: "at", type: "quantitative", title: along(runs[0]), scale: { nice: false }, axis: { tickMinStep: 1, grid: false } },
        y: { field: "y", type: "quantitative", title: page.titled(key, unit), scale: { zero: false, type: log ? "log" : "linear" } },
      },
      layer: [
        {
          params: [{
            name: "hovered",
            select: { type: "point", fields: ["id"], on: "pointerover", nearest: true, clear: "pointerout" },
          }],
          mark: { type: "point", size: 40, opacity: 0 },
          encoding: { tooltip: page.TIP },
        },
        {
          mark: { type: "line", interpolate: "linear", strokeJoin: "round" },
          encoding: {
            detail: { field: "id", type: "nominal" },
            color: colouring.colour,
            strokeWidth: highlit(3.5, 3, 1.4),
            opacity: highlit(1, 1, runs.length <= 8 ? 0.9 : page.pins.length ? 0.3 : 0.6),
          },
        },
      ],
    };
  }

  page.buildCurves = function buildCurves() {
    const keys = metrics();
    section.hidden = !keys.length;
    if (section.hidden) return;
    const body = section.querySelector(".body");
    const which = el("select", { onchange: () => redraw() });
    page.options(which, keys.map((key) => [key, page.titled(key)]), keys[0]);
    const chart = el("div", { class: "chart" });
    const note = el("p", { class: "note" });
    body.append(el("div", { class: "controls" }, el("label", {}, "Of ", which)), chart, note);
    const draw = async () => {
      const key = which.value;
      const [runs, known] = chosen(key);
      if (!runs.length) {
        note.textContent = "";
        page.undraw(chart, "No shown run has this curve.");
        return;
      }
      const long = runs.some((run) => run.curves[key].length > MOST_VALUES);
      note.textContent = [
        known > runs.length
          ? `The best ${runs.length} of ${known} shown runs${page.pins.length ? ", pinned ones included" : ""}. Filter to see others.`
          : `${page.count(runs.length)}. Colours as above; pinned runs are thick.`,
        ...(long ? [`Of long curves some ${MOST_VALUES} points are drawn, the highest and the lowest among them.`] : []),
        ...page.data.left_out,
      ].join(" ");
      const view = await page.draw(chart, spec(runs, key, page.colouring()), "canvas");
      if (!view) return;
      view.addEventListener("click", (event, item) => {
        const datum = item && item.datum && (item.datum.datum || item.datum);
        if (datum && page.byId.has(datum.id)) page.pin(datum.id);
      });
    };
    page.reserve(chart, page.narrow() ? 340 : 430);
    const redraw = page.lazily(section, ["filter", "pin", "theme", "colour"], draw);
  };
})(window.page);
