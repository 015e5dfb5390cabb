// Learning curves: one line per run that is shown; hover names it, click pins it.
(function (page) {
  "use strict";
  const { el } = page;
  const MOST = 30;
  const MOST_VALUES = 200;
  const section = document.getElementById("curves");

  function metrics() {
    const found = new Set();
    for (const run of page.runs) {
      for (const [key, values] of Object.entries(run.curves || {})) {
        if (["epoch", "step"].includes(key) || !Array.isArray(values)) continue;
        const known = values.filter((value) => typeof value === "number");
        if (known.length > 1 && known.some((value) => value !== known[0])) found.add(key);
      }
    }
    const first = [...page.objectives.map(([, key]) => key), "val/miou", "val/loss", "train/loss"].filter((key) => found.has(key));
    return [...new Set([...first, ...[...found].filter((k) => k.split("/").length < 3), ...found])];
  }

  function along(run) {
    const curves = run.curves || {};
    return ["epoch", "step"].find((key) => Array.isArray(curves[key])) || null;
  }

  // The best runs that are shown, and the pinned ones with them.
  function chosen(key) {
    const known = page.visible.filter((run) => along(run) && (run.curves[key] || []).some((value) => value !== null));
    const best = page.best(known);
    const pins = new Set(page.pins);
    const picked = best.slice(0, MOST);
    const extra = best.slice(MOST).filter((run) => pins.has(run.id));
    return [[...picked, ...extra], known.length];
  }

  function values(runs, key, scale, colouring) {
    const pins = new Set(page.pins);
    return runs.flatMap((run) => {
      const [xs, ys] = [run.curves[along(run)], run.curves[key]];
      const every = Math.max(1, Math.ceil(ys.length / MOST_VALUES));
      const known = ys.filter((y) => y !== null);
      const always = new Set([ys.indexOf(Math.max(...known)), ys.indexOf(Math.min(...known)), ys.length - 1]);
      const fields = { id: run.id, name: run.name, c: colouring.of(run), pinned: pins.has(run.id) };
      return ys
        .map((y, i) => ({ ...fields, at: xs[i], y: y === null ? null : y / scale[0], told: page.showWithUnit(key, y) }))
        .filter((point, i) => point.y !== null && point.at !== null && (i % every === 0 || always.has(i)));
    });
  }

  function spec(runs, key, colouring) {
    const all = runs.flatMap((run) => run.curves[key].filter((value) => value !== null));
    const scale = page.scale(key, all);
    const data = values(runs, key, scale, colouring);
    const few = runs.length <= 8;
    const unit = scale[1] ? ` (${scale[1]})` : "";
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const log = page.direction(key) === "min" && low > 0 && high > 20 * low;
    const x = { field: "at", type: "quantitative", title: along(runs[0]), scale: { nice: false }, axis: { tickMinStep: 1, grid: false } };
    const y = {
      field: "y", type: "quantitative", title: `${page.label(key)}${unit}`,
      scale: { zero: false, type: log ? "log" : "linear" },
    };
    const detail = { field: "id", type: "nominal" };
    const colour = colouring.colour.field ? { ...colouring.colour } : colouring.colour;
    return {
      width: "container",
      height: page.narrow() ? 260 : 340,
      description: `${page.label(key)} of ${runs.length} runs over training`,
      data: { values: data },
      layer: [
        {
          params: [{
            name: "hovered",
            select: { type: "point", fields: ["id"], on: "pointerover", nearest: true, clear: "pointerout" },
          }],
          mark: { type: "point", size: 40, opacity: 0, tooltip: true },
          encoding: {
            x, y,
            tooltip: [
              { field: "name", title: "run", type: "nominal" },
              { field: "at", title: along(runs[0]), type: "quantitative" },
              { field: "told", title: page.label(key), type: "nominal" },
            ],
          },
        },
        {
          mark: { type: "line", interpolate: "linear", strokeJoin: "round" },
          encoding: {
            x, y, detail, color: colour,
            strokeWidth: {
              condition: [{ param: "hovered", empty: false, value: 3.5 }, { test: "datum.pinned", value: 3 }],
              value: 1.4,
            },
            opacity: {
              condition: [{ param: "hovered", empty: false, value: 1 }, { test: "datum.pinned", value: 1 }],
              value: few ? 0.9 : page.pins.length ? 0.3 : 0.6,
            },
          },
        },
      ],
    };
  }

  page.buildCurves = function buildCurves() {
    const keys = metrics();
    if (!keys.length) {
      section.hidden = true;
      return;
    }
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
      note.textContent = known > runs.length
        ? `The best ${runs.length} of ${known} shown runs${page.pins.length ? ", pinned ones included" : ""}. Filter to see others.`
        : `${runs.length} ${runs.length === 1 ? "run" : "runs"}. Colours as above; pinned runs are thick.`;
      if (runs.some((run) => run.curves[key].length > MOST_VALUES)) {
        note.textContent += ` Of long curves some ${MOST_VALUES} points are drawn, the highest and the lowest among them.`;
      }
      note.textContent += (page.data.left_out || []).map((sentence) => ` ${sentence}`).join("");
      const view = await page.draw(chart, spec(runs, key, page.colouring()));
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
