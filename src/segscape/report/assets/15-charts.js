// Theme, drawing of Vega-Lite charts, and drawing only what is looked at.
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

  // -- colours: Okabe and Ito's, told apart by everybody ------------------------------------------

  const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#b8578f", "#c98500", "#3a9bd3", "#4d4d4d"];
  const DARK = ["#56a8e8", "#ff8a3d", "#2cc295", "#e79ac8", "#f0b93a", "#8ed3ff", "#c9c9c9"];
  const SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right"];
  page.SHAPES = SHAPES;
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
        columnPadding: 12, columns: narrow() ? 2 : 7,
      },
      text: { color: text },
    };
  }

  function narrow() {
    return window.innerWidth < 640;
  }
  page.narrow = narrow;

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

  const drawn = new Map();

  // Draws a chart in `host` in place of what was there. Resolves to Vega's view, or null when a
  // later drawing has overtaken this one.
  page.draw = async function draw(host, spec, settings) {
    const turn = ((drawn.get(host) || {}).turn || 0) + 1;
    const before = (drawn.get(host) || {}).result;
    drawn.set(host, { turn, result: before });
    page.begin();
    try {
      // The old chart keeps its height until the new one stands, or the page would jump.
      if (before) page.reserve(host, host.offsetHeight);
      const result = await window.vegaEmbed(
        host,
        { padding: 4, ...spec },
        {
          mode: "vega-lite",
          actions: false,
          renderer: (settings || {}).renderer || "canvas",
          config: config(),
          tooltip: { theme: page.dark() ? "dark" : "light" },
        }
      );
      if (drawn.get(host).turn !== turn) {
        result.finalize();
        return null;
      }
      if (before) before.finalize();
      drawn.set(host, { turn, result });
      host.style.minHeight = "";
      return result.view;
    } finally {
      page.end();
    }
  };

  // Room for what is drawn later: what lies below it must not move when it comes.
  page.reserve = (host, height) => (host.style.minHeight = `${height}px`);

  page.undraw = function undraw(host, text) {
    const known = drawn.get(host);
    if (known && known.result) known.result.finalize();
    drawn.set(host, { turn: ((known || {}).turn || 0) + 1, result: null });
    host.style.minHeight = "";
    host.replaceChildren(el("p", { class: "empty" }, text));
  };

  // -- only what is looked at ---------------------------------------------------------------------

  // Calls `action` when the section comes near the window, and again after each of the events
  // while it is near; what happened meanwhile is drawn when it is looked at again.
  page.lazily = function lazily(section, events, action) {
    let near = false;
    let stale = true;
    const redraw = () => {
      if (!near) {
        stale = true;
        return;
      }
      stale = false;
      action();
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

  // Once per frame, however often it is asked for.
  page.soon = function soon(action) {
    let asked = false;
    return () => {
      if (asked) return;
      asked = true;
      page.begin();
      requestAnimationFrame(() => {
        asked = false;
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
    const told = [["run", run.name]];
    for (const key of figures) told.push([page.label(key), page.showWithUnit(key, page.figure(run, key))]);
    told.push(...page.choicesOf(run));
    if (!page.done(run)) told.push(["state", run.state]);
    return told;
  };

  page.choicesOf = (run) =>
    page.varied.slice(0, 10).map((key) => [key, page.value(run, key)]).filter(([, value]) => value !== null);

  // Titled texts as an object, which is shown as a table: runs need not have the same titles. The
  // tooltip reads some titles as its own.
  page.tip = (told) =>
    Object.fromEntries(told.map(([title, text]) => [/^(title|image)$/.test(title) ? `${title} ` : title, text]));
  page.TIP = { field: "tip", type: "nominal" };

  // Fields t0, t1, ... for a datum whose titles are those of all.
  page.tipFields = (told) => Object.fromEntries(told.map(([, text], i) => [`t${i}`, text]));
})(window.page);
