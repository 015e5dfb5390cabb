// Panels (image, label, prediction) of chosen runs, side by side: the pinned ones, or the best.
(function (page) {
  "use strict";
  const { el } = page;
  const section = document.getElementById("gallery");
  const PANELS = 3;

  const has = (run) => run.gallery.some((panel) => panel.src || panel.file);

  function chosen() {
    const pins = page.pins.map((id) => page.byId.get(id)).filter(has);
    if (pins.length) return [pins, true];
    const shown = page.best(page.visible.filter(has));
    const embedded = shown.filter((run) => run.gallery.some((panel) => panel.src));
    const pool = embedded.length ? embedded : shown;
    pool.sort((one, other) => page.front.has(other.id) - page.front.has(one.id));
    return [pool.slice(0, page.narrow() ? 2 : PANELS), false];
  }

  function enlarge(run, panel) {
    const dialog = el("dialog", { class: "large", "aria-label": `${panel.name} of ${run.name}`, onclose: () => dialog.remove() },
      el("div", { class: "headline" },
        el("p", {}, el("strong", {}, panel.name), ` · ${run.name}`),
        el("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Close")),
      el("img", { src: panel.src, alt: `${panel.name}: image, label and prediction of ${run.name}` }),
      panel.file ? el("p", { class: "note" }, "A small copy. ", link(panel, "Open the file")) : null
    );
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
    document.body.append(dialog);
    dialog.showModal();
  }

  // To a path beside the page; signs such as # and ? in names must not be read as an address's.
  function link(panel, text) {
    const href = panel.file.split("/").map(encodeURIComponent).join("/");
    return el("a", { href, target: "_blank", rel: "noopener" }, text);
  }

  function cell(run, name) {
    const panel = run.gallery.find((candidate) => candidate.name === name);
    if (!panel) return el("p", { class: "empty" }, "none");
    if (!panel.src) return el("p", { class: "empty" }, panel.file ? link(panel, `Open ${name}`) : "not in the page");
    return el("button", { type: "button", class: "panel", title: "Enlarge", onclick: () => enlarge(run, panel) },
      el("img", { src: panel.src, alt: `${name}: image, label and prediction of ${run.name}` }));
  }

  async function settle(grid) {
    page.begin();
    await Promise.allSettled([...grid.querySelectorAll("img")].map((image) => image.decode()));
    grid.style.minHeight = "";
    page.end();
  }

  page.buildGallery = function buildGallery() {
    section.hidden = !page.runs.some(has);
    if (section.hidden) return;
    const body = section.querySelector(".body");
    const add = el("select", {
      "aria-label": "Pin another run",
      onchange: () => {
        if (add.value) page.pin(add.value);
      },
    });
    const grid = el("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Predictions of chosen runs" });
    const note = el("p", { class: "note" });
    body.append(el("div", { class: "controls" }, el("label", {}, "Pin ", add)), grid, note);

    page.reserve(grid, 360);
    page.lazily(section, ["filter", "pin", "theme"], () => {
      page.reserve(grid, grid.offsetHeight); // until the pictures have their heights
      const [runs, pinned] = chosen();
      const names = page.unique(runs.flatMap((run) => run.gallery.map((panel) => panel.name)));
      const others = page.best(page.visible.filter((run) => has(run) && !page.pins.includes(run.id)));
      page.options(add, [["", "a run…"], ...others.map((run) => [run.id, run.name])], "");
      if (!runs.length) {
        grid.style.minHeight = "";
        grid.replaceChildren(el("p", { class: "empty" }, "No shown run has a gallery."));
        note.textContent = "";
        return;
      }
      const score = page.objectives.length ? page.objectives[0][1] : "val/miou";
      const heads = runs.map((run) =>
        el("h3", { style: pinned ? `--pin:${page.pinColour(run.id)}` : null, class: pinned ? "pin" : "" },
          run.name, el("span", { class: "score" }, ` ${page.label(score)} ${page.showWithUnit(score, page.figure(run, score))}`))
      );
      const rows = names.flatMap((name) => runs.map((run) => el("figure", {}, cell(run, name), el("figcaption", {}, name))));
      grid.replaceChildren(el("div", { class: "panels", style: `--columns:${runs.length}` }, heads, rows));
      settle(grid);
      note.textContent = `Image, label and prediction of the same images. ${pinned ? "Pinned runs." : "The best of the runs shown, those on the front first; pin others to compare them."} Click to enlarge.`;
    });
  };
})(window.page);
