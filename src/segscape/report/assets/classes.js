// IoU of every class: a table of runs and classes, coloured by value.
(function (page) {
  "use strict";
  const { el } = page;
  const MOST = 20;
  const section = document.getElementById("classes");

  // Per class from worst to best of the runs, or the same scale for all.
  function limits(runs, keys, relative) {
    const of = (some) => {
      const values = page.known(runs.flatMap((run) => some.map((key) => page.figure(run, key))));
      return values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
    };
    const common = of(keys);
    return keys.map((key) => (relative ? of([key]) : common));
  }

  const [PALE, DEEP] = [[240, 246, 252], [11, 74, 122]];
  const [DIM, BRIGHT] = [[26, 35, 44], [126, 196, 245]];

  // Blue, from near the ground to far from it: one hue reads in grey, too. The text is dark or
  // light, whichever stands out more.
  function shade(value, [low, high]) {
    const part = high > low ? (value - low) / (high - low) : 0.5;
    const [from, to] = page.dark() ? [DIM, BRIGHT] : [PALE, DEEP];
    const colour = from.map((start, i) => Math.round(start + part * (to[i] - start)));
    const [r, g, b] = colour.map((channel) => {
      const c = channel / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    const ink = 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#0b0f14" : "#ffffff";
    return `background:rgb(${colour.join(" ")});color:${ink}`;
  }

  const split = (key) => key.split("/").slice(2).join("/");

  page.buildClasses = function buildClasses() {
    const byPrefix = page.group(page.keys.filter((key) => key.split("/")[1] === "iou"), (key) => key.split("/")[0]);
    const prefixes = [...byPrefix.keys()];
    section.hidden = !prefixes.length;
    if (section.hidden) return;
    const body = section.querySelector(".body");
    const which = el("select", { onchange: () => redraw() });
    page.options(which, prefixes.map((name) => [name, name]), prefixes.includes("val") ? "val" : prefixes[0]);
    const relative = el("input", { type: "checkbox", checked: true, onchange: () => redraw() });
    const all = el("input", { type: "checkbox", onchange: () => redraw() });
    const allLabel = el("label", {}, all, " all runs");
    const place = el("div", { class: "wide heat", tabindex: "0", role: "group", "aria-label": "IoU by run and class" });
    const note = el("p", { class: "note" });
    let sorted = null;
    body.append(
      el("div", { class: "controls" },
        prefixes.length > 1 ? el("label", {}, "Of ", which) : null,
        el("label", {}, relative, " colours within each class"), allLabel),
      place, note
    );

    const rank = (key) => page.data.classes.indexOf(split(key)) + 1 || page.data.classes.length + 1;
    for (const keys of byPrefix.values()) keys.sort((a, b) => rank(a) - rank(b));

    function heading(key) {
      const pressed = sorted === key;
      return el("th", { scope: "col", "aria-sort": pressed ? "descending" : null },
        el("button", {
          type: "button", class: "tall", title: `Sort by ${split(key)}`,
          onclick: () => {
            sorted = pressed ? null : key;
            redraw();
          },
        }, split(key)));
    }

    function row(run, keys, bounds, total) {
      const pinned = page.pins.includes(run.id);
      return el("tr", { class: pinned ? "pinned-row" : "", style: pinned ? `--pin:${page.pinColour(run.id)}` : null },
        el("th", { scope: "row" }, el("button", { type: "button", class: "name", title: run.name, onclick: () => page.pin(run.id) }, run.name)),
        el("td", { class: "figure total" }, page.show(total, page.figure(run, total))),
        keys.map((key, i) => {
          const value = page.figure(run, key);
          return value === null
            ? el("td", { class: "figure none" }, page.NONE)
            : el("td", { class: "figure", style: shade(value, bounds[i]), title: `${split(key)}: ${(100 * value).toFixed(2)} %` }, (100 * value).toFixed(1));
        })
      );
    }

    page.reserve(place, 22 * Math.min(MOST, page.visible.length) + 130);
    const redraw = page.lazily(section, ["filter", "pin", "theme"], () => {
      const keys = byPrefix.get(which.value);
      const total = `${which.value}/miou`;
      const known = page.visible.filter((run) => keys.some((key) => page.figure(run, key) !== null));
      const ordered = page.best(known, sorted || total);
      const runs = all.checked ? ordered : ordered.filter((run, i) => i < MOST || page.pins.includes(run.id));
      allLabel.hidden = known.length <= MOST;
      if (!runs.length) {
        place.replaceChildren(el("p", { class: "empty" }, "No shown run has figures by class."));
        note.textContent = "";
        return;
      }
      place.style.minHeight = "";
      const bounds = limits(known, keys, relative.checked);
      place.replaceChildren(
        el("table", {},
          el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "run"), el("th", { scope: "col" }, el("span", { class: "tall" }, "mIoU")), keys.map(heading))),
          el("tbody", {}, runs.map((run) => row(run, keys, bounds, total)))
        )
      );
      note.textContent =
        `IoU in %. ${runs.length < known.length ? `The best ${Math.min(MOST, runs.length)} of ${known.length} shown runs` : page.count(runs.length)}, ` +
        `by ${sorted ? split(sorted) : "mIoU"}. ` +
        (relative.checked ? "The stronger the colour, the better among the shown runs in this class. " : "The stronger the colour, the higher. ") +
        page.conditions([total], known);
    });
  };
})(window.page);
