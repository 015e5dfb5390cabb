// Theme, drawing of Vega-Lite charts, and drawing only what is in view.
(function (page) {
  "use strict";
  const { el } = page;
  const root = document.documentElement;

  // -- theme ----------------------------------------------------------------------------------

  const button = document.getElementById("theme");
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try {
    chosen = localStorage.getItem("segscape theme");
  } catch {
    chosen = null; // storage is forbidden: the system's theme it is
  }

  function apply() {
    const theme = chosen || (system.matches ? "dark" : "light");
    root.dataset.theme = theme;
    button.textContent = theme === "dark" ? "☀" : "☾";
    button.setAttribute("aria-pressed", String(theme === "dark"));
    button.title = theme === "dark" ? "Light" : "Dark";
  }

  button.addEventListener("click", () => {
    chosen = page.dark() ? "light" : "dark";
    try {
      localStorage.setItem("segscape theme", chosen);
    } catch {
      button.title = "kept until the page is closed";
    }
    apply();
    page.emit("theme");
  });
  system.addEventListener("change", () => {
    apply();
    page.emit("theme");
  });
  page.dark = () => root.dataset.theme === "dark";
  page.css = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  apply();

  // -- colours: Okabe and Ito's, distinct with every kind of colour vision ------------------------------------------

  const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#b8578f", "#c98500", "#3a9bd3", "#4d4d4d"];
  const DARK = ["#56a8e8", "#ff8a3d", "#2cc295", "#e79ac8", "#f0b93a", "#8ed3ff", "#c9c9c9"];
  page.SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right"];
  page.palette = () => (page.dark() ? DARK : LIGHT);
  page.SEVERAL = LIGHT.length;

  function config() {
    const [text, faint, grid] = [page.css("text"), page.css("faint"), page.css("line")];
    return {
      background: null,
      font: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif",
      view: { stroke: null },
      axis: {
        labelColor: faint, titleColor: text, titleFontWeight: "normal", titleFontSize: 12,
        labelFontSize: 11, gridColor: grid, domainColor: faint, tickColor: faint, titlePadding: 8,
      },
      legend: {
        labelColor: text, titleColor: faint, titleFontWeight: "normal", labelFontSize: 12,
        titleFontSize: 12, orient: "top", symbolSize: 80, offset: 6, labelLimit: 150,
        columnPadding: 12, columns: page.narrow() ? 2 : 7,
      },
      text: { color: text },
    };
  }

  page.narrow = () => window.innerWidth < 640;

  // -- drawing --------------------------------------------------------------------------------

  let pending = 1; // the start of the page
  page.begin = () => {
    pending += 1;
    page.ready = false;
  };
  page.end = () => {
    pending -= 1;
    page.ready = pending === 0;
  };

  const drawn = new Map(); // by host: which drawing is the latest, and Vega's result of one
  const latest = (host) => drawn.get(host) || drawn.set(host, { turn: 0, result: null }).get(host);

  // Draws a chart in `host` in place of what was there. Resolves to Vega's view, or null when a
  // later drawing has overtaken this one.
  page.draw = async function draw(host, spec, renderer = "svg") {
    const own = latest(host);
    const turn = (own.turn += 1);
    page.begin();
    try {
      // The old chart keeps its height until the new one is drawn, or the page would jump.
      if (own.result) page.reserve(host, host.offsetHeight);
      const tooltip = { theme: page.dark() ? "dark" : "light" };
      const options = { mode: "vega-lite", actions: false, renderer, config: config(), tooltip };
      const result = await window.vegaEmbed(host, { width: "container", padding: 4, ...spec }, options);
      if (own.turn !== turn) {
        result.finalize();
        return null;
      }
      if (own.result) own.result.finalize();
      own.result = result;
      host.style.minHeight = "";
      return result.view;
    } finally {
      page.end();
    }
  };

  // Room for what is drawn later: what is below it must not move when it is drawn.
  page.reserve = (host, height) => (host.style.minHeight = `${height}px`);

  page.undraw = function undraw(host, text) {
    const own = latest(host);
    own.turn += 1;
    if (own.result) own.result.finalize();
    own.result = null;
    host.style.minHeight = "";
    host.replaceChildren(el("p", { class: "empty" }, text));
  };

  // -- only what is in view ------------------------------------------------------------------------

  // Calls `action` when the section comes near the window, and again after each of the events
  // while it is near; what happened meanwhile is drawn when it is in view again.
  page.lazily = function lazily(section, events, action) {
    let near = false;
    let stale = true;
    const redraw = () => {
      stale = !near;
      if (near) action();
    };
    for (const name of events) page.on(name, redraw);
    new IntersectionObserver(
      (entries) => {
        near = entries[entries.length - 1].isIntersecting;
        if (near && stale) redraw();
      },
      { rootMargin: "150px" }
    ).observe(section);
    window.addEventListener("beforeprint", () => {
      near = true;
      if (stale) redraw();
    });
    return redraw;
  };

  // Once per frame, however often it is requested.
  page.soon = function soon(action) {
    let requested = false;
    return () => {
      if (requested) return;
      requested = true;
      page.begin();
      requestAnimationFrame(() => {
        requested = false;
        try {
          action();
        } finally {
          page.end();
        }
      });
    };
  };

  // The tooltip of a run in a chart: titled texts, in order.
  page.tips = function tips(run, figures) {
    const fields = [["run", run.name]];
    for (const key of figures) fields.push([page.label(key), page.showWithUnit(key, page.figure(run, key))]);
    fields.push(...page.choicesOf(run));
    if (!page.done(run)) fields.push(["state", run.state]);
    return fields;
  };

  page.choicesOf = (run) =>
    page.varied.slice(0, 10).map((key) => [key, page.value(run, key)]).filter(([, value]) => value !== null);

  // Titled texts as an object, which Vega shows as a table: data need not have the same titles. The
  // tooltip reads some titles as its own.
  page.tip = (fields) =>
    Object.fromEntries(fields.map(([title, text]) => [/^(title|image)$/.test(title) ? `${title} ` : title, text]));
  // The field is called like the channel: over points that are found by `nearest`, Vega-Lite looks
  // for a text in the drawn point, which has its tooltip under that name, and not in its datum.
  page.TIP = { field: "tooltip", type: "nominal" };
})(window.page);
