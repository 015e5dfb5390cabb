// Runs or means of designs as points over two figures, with the front of what is shown.
(function (page) {
  "use strict";
  const host = document.getElementById("scatter");
  const [upSelect, acrossSelect] = ["y-axis", "x-axis"].map((id) => document.getElementById(id));
  const pointsSelect = document.getElementById("points");
  const status = document.getElementById("scatter-said");
  const FOCUS_SIZE = 420;
  let view = null;
  let points = [];
  let at = -1;

  // -- axes -----------------------------------------------------------------------------------

  function familyOf(key) {
    const words = key.split("/");
    if (words[1] === "iou") return "By class";
    if (words[0] === "model" && words.length > 2) return "By part";
    return { ms: "Cost", count: "Cost", share: "Accuracy" }[page.kind(key)] || "Other";
  }

  function fill(select, first, chosen) {
    const families = page.group(page.keys, familyOf);
    for (const name of page.unique([first, "Accuracy", "Cost", "Other", "By class", "By part"])) {
      const options = (families.get(name) || []).map((key) =>
        page.el("option", { value: key, selected: key === chosen }, page.titled(key))
      );
      if (options.length) select.append(page.el("optgroup", { label: name }, options));
    }
  }

  function usual() {
    const known = (keys) => keys.filter((key) => page.keys.includes(key));
    const wanted = known(page.objectives.map(([, key]) => key));
    const accuracy = wanted.filter((key) => !["ms", "count"].includes(page.kind(key)));
    const up = [...accuracy, ...known(["val/miou"]), ...page.keys][0];
    const costs = known(["latency/p50_ms", "model/macs", "model/params"]);
    return [up, [...wanted, ...costs, ...page.keys].find((key) => key !== up)];
  }

  page.buildScatter = function buildScatter() {
    const [up, across] = usual();
    const kept = (name, otherwise) => (page.keys.includes(page.recall(name)) ? page.recall(name) : otherwise);
    fill(upSelect, "Accuracy", kept("y", up));
    fill(acrossSelect, "Cost", kept("x", across));
    page.keptSelect(upSelect, "y", draw);
    page.keptSelect(acrossSelect, "x", draw);
    buildPoints();
    for (const event of ["filter", "theme", "colour"]) page.on(event, draw);
    page.on("pin", mark);
    draw();
  };

  // Where designs have several seeds, their means are shown first: one lucky run is no result.
  function buildPoints() {
    const kept = page.recall("points", "means");
    page.options(pointsSelect, [["means", "means over seeds"], ["runs", "single runs"]], kept);
    document.getElementById("points-label").hidden = !page.severalSeeds;
    page.keptSelect(pointsSelect, "points", draw);
  }

  const means = () => page.severalSeeds && pointsSelect.value === "means";

  // -- drawing --------------------------------------------------------------------------------

  function data(x, y, scaleX, scaleY, colouring) {
    const known = (means() ? page.designs(page.visible) : page.visible.map(page.single))
      .map((point) => ({ ...point, across: point.figure(x), up: point.figure(y) }))
      .filter((point) => point.across && point.up);
    const done = known.filter((point) => point.done);
    const ways = [page.direction(x), page.direction(y)];
    const found = ways[0] && ways[1] ? page.pareto(done.map((point) => [point.across.mean, point.up.mean]), ways) : [];
    const best = new Set(found.map((index) => done[index].id));
    const shown = known.map((point) => {
      const fields = tips(point, x, y);
      return {
        id: point.id,
        ids: point.ids,
        left: point.left.length,
        x: point.across.mean / scaleX[0],
        y: point.up.mean / scaleY[0],
        ...bar("x", point.across, scaleX[0]),
        ...bar("y", point.up, scaleY[0]),
        c: colouring.of(point.run),
        front: best.has(point.id),
        done: point.done,
        fields,
        tooltip: page.tip(fields),
      };
    });
    // The front is drawn last and is on top, in the order of its line.
    const along = (one, other) => (one.front ? one.x - other.x || one.y - other.y : 0);
    return shown.sort((one, other) => one.front - other.front || along(one, other));
  }

  // The ends of a bar of one standard deviation; none where the runs do not differ.
  function bar(channel, { mean, spread }, scale) {
    if (!spread || spread < 1e-9 * Math.abs(mean)) return {};
    return { [`${channel}Low`]: (mean - spread) / scale, [`${channel}High`]: (mean + spread) / scale };
  }

  function tips(point, x, y) {
    const others = page.objectives.map(([, key]) => key).filter((key) => key !== x && key !== y);
    return page.tipsOf(point, [y, x, ...others]);
  }

  function axis(channel, key, scale) {
    const values = points.map((point) => point[channel]);
    const wide = Math.min(...values) > 0 && Math.max(...values) > 12 * Math.min(...values);
    const ends = points.flatMap((point) => [point[`${channel}Low`], point[`${channel}High`]]);
    // A logarithmic axis has no room for a bar that goes down to nothing.
    const least = wide ? Math.min(...values) / 10 : -Infinity;
    const all = [...values, ...ends].filter((value) => value !== undefined && value >= least);
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const down = channel === "y" && page.direction(key) === "min";
    const title = down ? `${page.titled(key, scale[1])} ← better down` : page.axisTitle(key, scale[1]);
    return {
      field: channel,
      type: "quantitative",
      title,
      // The domain is given, not found: the data of rings and bars may be empty and have no extent.
      scale: wide
        ? { type: "log", domain: [low / 1.2, high * 1.2], nice: false }
        : { zero: false, nice: true, padding: 14, domain: high > low ? [low, high] : around(low) },
      axis: { tickCount: page.narrow() ? 4 : 7, grid: true },
    };
  }

  const around = (value) => [value - (Math.abs(value) * 0.05 || 1), value + (Math.abs(value) * 0.05 || 1)];

  function layers(x, y, colouring) {
    const axes = { x: axis("x", x, page.scaleX), y: axis("y", y, page.scaleY) };
    const ring = (name, size, strokeWidth) => ({
      data: { name },
      mark: { type: "point", shape: "circle", filled: false, size, strokeWidth, opacity: 1 },
      encoding: { ...axes, color: { field: "ring", type: "nominal", scale: null } },
    });
    const point = {
      mark: { type: "point", filled: true, cursor: "pointer", strokeWidth: 1.4, opacity: 1 },
      encoding: {
        ...axes,
        // both, or what is not filled would have no colour at all
        fill: colouring.colour,
        stroke: colouring.colour,
        ...(colouring.shape ? { shape: colouring.shape } : {}),
        size: { condition: { test: "datum.front", value: 120 }, value: 62 },
        fillOpacity: { condition: [{ test: "!datum.done", value: 0 }, { test: "datum.front", value: 1 }], value: 0.4 },
        strokeOpacity: { condition: { test: "datum.front", value: 1 }, value: 0.75 },
        tooltip: page.TIP,
        key: { field: "id" },
      },
    };
    const line = {
      transform: [{ filter: "datum.front" }],
      mark: {
        type: "line", interpolate: page.direction(x) === "max" ? "step-before" : "step-after",
        color: page.css("faint"), strokeWidth: 1.4, strokeDash: [5, 3],
      },
      encoding: { ...axes, order: { field: "x", type: "quantitative" } },
    };
    return [line, errorBars(axes, "x"), errorBars(axes, "y"), ring("pinned", 330, 2.5), ring("focus", FOCUS_SIZE, 2), point];
  }

  // A bar that goes down to nothing is cut off at the edge of a logarithmic axis.
  function errorBars(axes, channel) {
    const [low, high] = [`${channel}Low`, `${channel}High`];
    const { type, domain } = axes[channel].scale;
    const end = type === "log" ? `max(datum.${low}, ${domain[0]})` : `datum.${low}`;
    return {
      transform: [{ filter: `isValid(datum.${low})` }, { calculate: end, as: low }],
      mark: { type: "rule", color: page.css("faint"), strokeWidth: 1.2, opacity: 0.5 },
      encoding: { ...axes, [channel]: { ...axes[channel], field: low }, [`${channel}2`]: { field: high } },
    };
  }

  const draw = page.soon(async () => {
    const [x, y] = [acrossSelect.value, upSelect.value];
    view = null;
    at = -1;
    status.classList.add("unseen");
    if (!x || !y) {
      page.undraw(host, "No run has figures yet.");
      return;
    }
    const all = (key) => page.known(page.runs.map((run) => page.figure(run, key)));
    page.scaleX = page.scale(x, all(x));
    page.scaleY = page.scale(y, all(y));
    const colouring = page.colouring(seedless() ? "" : page.colourKey);
    points = data(x, y, page.scaleX, page.scaleY, colouring);
    note(x, y);
    if (!points.length) {
      page.undraw(host, `No shown run has both ${page.label(y)} and ${page.label(x)}.`);
      return;
    }
    const drawing = await page.draw(host, {
      height: page.narrow() ? 300 : 420,
      description: `${page.titled(y)} over ${page.titled(x)} of ${points.length} ${means() ? "designs" : "runs"}`,
      data: { values: points },
      datasets: { pinned: rings(page.pins), focus: [] },
      layer: layers(x, y, colouring),
    });
    if (!drawing) return;
    view = drawing;
    view.addEventListener("click", (event, item) => {
      if (item && item.datum && item.datum.ids) page.pinTogether(item.datum.ids);
    });
    mark();
  });

  // A ring around every point that has one of the runs.
  function rings(ids, colour) {
    return points.flatMap((point) => {
      const id = ids.find((each) => point.ids.includes(each));
      return id ? [{ x: point.x, y: point.y, ring: colour || page.pinColour(id) }] : [];
    });
  }

  function mark() {
    if (!view) return;
    view.data("pinned", rings(page.pins)).run();
  }

  // The mean of several seeds has no seed, and so no colour of one.
  const seedless = () => means() && page.colourKey === "seed";

  function note(x, y) {
    const done = points.filter((point) => point.done).length;
    const front = points.filter((point) => point.front).length;
    const left = page.sum(points.map((point) => point.left));
    const without = page.visible.length - page.sum(points.map((point) => point.ids.length));
    const nouns = `${means() ? "design" : "run"}${done === 1 ? "" : "s"}`;
    const sentences = [
      means()
        ? "Shown: means over seeds. A point is a design, its bars are one standard deviation to either side."
        : page.severalSeeds && "Shown: single runs. Seeds of one design are points of their own.",
      front && `Large points on the line: ${front} of ${done} finished ${nouns} shown that no other beats in both.`,
      points.length > done && "Hollow: not finished, so on no front.",
      left && `${page.count(left)} that ${left === 1 ? "has" : "have"} not finished ${left === 1 ? "is" : "are"} in no mean.`,
      without && `${without} shown ${without === 1 ? "run has" : "runs have"} no figures for these axes.`,
      seedless() && "A mean has no seed to be coloured by.",
      means() ? "Click a point to pin its runs." : "Click a point to pin its run.",
      page.conditions([y, x], page.visible),
    ];
    document.getElementById("front-note").textContent = sentences.filter(Boolean).join(" ");
  }

  // -- keyboard, and where a point is -------------------------------------------------------------

  function focus(index) {
    const ordered = [...points].sort((a, b) => a.x - b.x || a.y - b.y);
    at = Math.max(0, Math.min(ordered.length - 1, index));
    const point = ordered[at];
    view.data("focus", rings([point.id], page.css("text"))).run();
    status.textContent = point.fields.map(([name, text]) => `${name}: ${text}`).join(", ");
    status.classList.remove("unseen");
    return point;
  }

  host.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!view || !points.length) return;
    if (step) {
      focus(at + step);
      event.preventDefault();
    } else if ((event.key === "Enter" || event.key === " ") && at >= 0) {
      page.pinTogether(focus(at).ids);
      event.preventDefault();
    }
  });
  host.addEventListener("blur", () => {
    at = -1;
    status.classList.add("unseen");
    if (view) view.data("focus", []).run();
  });

  // Client coordinates of a run's point, its own or its design's, or null when it is not drawn.
  page.point = function point(id) {
    const found = points.find((candidate) => candidate.ids.includes(id));
    const surface = host.querySelector("svg, canvas");
    if (!view || !found || !surface) return null;
    const box = surface.getBoundingClientRect();
    const [padding, origin] = [view.padding(), view.origin()];
    return {
      x: box.left + padding.left + origin[0] + view.scale("x")(found.x),
      y: box.top + padding.top + origin[1] + view.scale("y")(found.y),
    };
  };
})(window.page);
