// Puts the page together.
(function (page) {
  "use strict";
  const { el, data } = page;
  const FEW = 6;

  function heading() {
    document.getElementById("title").textContent = data.title;
    const links = [...document.querySelectorAll("main > section")]
      .filter((section) => !section.hidden)
      .map(({ id }) => el("a", { href: `#${id}` }, id[0].toUpperCase() + id.slice(1)));
    document.getElementById("nav").replaceChildren(...links);
    const made = data.created ? new Date(data.created) : null;
    const when = made && !Number.isNaN(made.getTime()) ? made.toLocaleString() : data.created;
    document.getElementById("foot").textContent =
      `${when ? `Collected ${when}. ` : ""}Made by segscape report. The page is one file and asks nothing of the network.`;
  }

  function warnings() {
    const section = document.getElementById("warnings");
    const found = [
      ...data.warnings.map((text) => ["warning", text]),
      ...data.missing.map((text) => ["missing", text]),
    ];
    section.hidden = !found.length;
    if (section.hidden) return;
    const item = ([kind, text]) => el("li", { class: kind }, text);
    const body = section.querySelector(".body");
    body.append(el("ul", {}, found.slice(0, FEW).map(item)));
    if (found.length > FEW) {
      body.append(el("details", {}, el("summary", {}, `${found.length - FEW} more`), el("ul", {}, found.slice(FEW).map(item))));
    }
  }

  // A watched report is written anew every so often: the page reads itself again, and keeps what
  // was chosen. Not while an input has the focus or a picture is enlarged.
  function refresh() {
    if (!data.refresh_s) return;
    const place = document.getElementById("refresh");
    let paused = false;
    const button = el("button", {
      type: "button", class: "quiet", "aria-pressed": "false",
      onclick: () => {
        paused = !paused;
        button.setAttribute("aria-pressed", String(paused));
        button.textContent = paused ? "updates paused" : text;
      },
    });
    const text = `updates every ${Number(data.refresh_s)} s`;
    button.textContent = text;
    place.append(button);
    place.hidden = false;
    setInterval(() => {
      const busy = document.hidden || document.querySelector("dialog[open]") || document.activeElement.matches("input, select");
      if (paused || busy) return;
      page.keep("scroll", window.scrollY);
      window.location.reload();
    }, 1000 * data.refresh_s);
    const scroll = page.recall("scroll", 0);
    if (scroll) requestAnimationFrame(() => window.scrollTo(0, scroll));
  }

  function resized() {
    let narrow = page.narrow();
    window.addEventListener("resize", () => {
      if (page.narrow() === narrow) return;
      narrow = page.narrow();
      page.emit("theme"); // heights and legends of charts depend on it
    });
  }

  function start() {
    warnings();
    page.buildFilters();
    page.buildColours();
    page.buildTable();
    page.buildScatter();
    page.buildDetails();
    page.buildCost();
    page.buildEffects();
    page.buildCurves();
    page.buildClasses();
    page.buildGallery();
    heading();
    resized();
    refresh();
    page.end();
  }

  start();
})(window.page);
