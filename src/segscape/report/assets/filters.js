// Which runs are shown, by choice, state and search; and which are pinned.
//
// No box of a key is checked at first: all runs are shown. Checked boxes narrow the runs to theirs;
// several of one key are alternatives. Numbers in many values have a lowest and a highest instead.
(function (page) {
  "use strict";
  const { el } = page;
  const MOST_BOXES = 8;
  const chosen = new Map(Object.entries(page.recall("boxes", {})).map(([k, v]) => [k, new Set(v)]));
  const ranges = new Map(Object.entries(page.recall("ranges", {})));
  let wanted = page.recall("search", "");

  // -- the runs that are shown --------------------------------------------------------------------

  const texts = new Map(
    page.runs.map((run) => {
      const words = [run.name, run.id, run.path, run.state, run.error];
      for (const key of [...Object.keys(run.choices), ...Object.keys(run.settings)]) {
        const value = page.value(run, key);
        words.push(value, `${key}=${value}`);
      }
      return [run.id, words.filter(Boolean).join("\n").toLowerCase()];
    })
  );

  function passes(run, but) {
    for (const [key, values] of chosen) {
      if (key !== but && values.size && !values.has(page.value(run, key))) return false;
    }
    for (const [key, [low, high]] of ranges) {
      if (key === but) continue;
      const number = Number(page.value(run, key) ?? NaN);
      if (low !== null && !(number >= low)) return false;
      if (high !== null && !(number <= high)) return false;
    }
    const text = texts.get(run.id);
    return wanted.toLowerCase().split(/\s+/).every((word) => text.includes(word));
  }

  page.visible = [];
  page.filtered = () => page.visible.length < page.runs.length;

  function update() {
    page.visible = page.runs.filter((run) => passes(run));
    const all = page.count(page.runs.length);
    const pinned = page.pins.length ? `, ${page.pins.length} pinned` : "";
    document.getElementById("count").textContent =
      (page.filtered() ? `${page.visible.length} of ${all}` : all) + pinned;
    const boxed = [...chosen.values()].filter((values) => values.size);
    const bounded = [...ranges.values()].filter(([low, high]) => low !== null || high !== null);
    const active = (wanted ? 1 : 0) + boxed.length + bounded.length;
    document.getElementById("filters-active").textContent = active ? `(${active} active)` : "";
    clear.disabled = !active;
    tally();
  }

  // How many runs each box would leave, given the other filters.
  function tally() {
    const left = new Map();
    for (const box of body.querySelectorAll("input[type=checkbox]")) {
      const { key, value } = box.dataset;
      if (!left.has(key)) {
        const runs = page.runs.filter((run) => passes(run, key));
        left.set(key, page.group(runs, (run) => page.value(run, key)));
      }
      const number = (left.get(key).get(value) || []).length;
      box.parentElement.querySelector(".number").textContent = number;
      box.parentElement.classList.toggle("nothing", !number);
    }
  }

  const changed = page.soon(() => {
    page.keep("boxes", Object.fromEntries([...chosen].map(([k, v]) => [k, [...v]])));
    page.keep("ranges", Object.fromEntries(ranges));
    page.keep("search", wanted);
    update();
    page.emit("filter");
  });

  // -- pins -----------------------------------------------------------------------------------

  const MOST_PINS = 6;
  page.pins = page.recall("pins", []).filter((id) => page.byId.has(id));
  page.pinColour = (id) => page.palette()[page.pins.indexOf(id) % page.SEVERAL];

  page.pin = (id) => page.pinTogether([id]);
  // All of them, or none if all are pinned.
  page.pinTogether = function pinTogether(ids) {
    const few = ids.slice(0, MOST_PINS);
    const others = page.pins.filter((id) => !ids.includes(id));
    const all = few.every((id) => page.pins.includes(id));
    page.pins = all ? others : [...others, ...few].slice(-MOST_PINS);
    repinned();
  };
  page.unpinAll = function unpinAll() {
    page.pins = [];
    repinned();
  };
  const repinned = page.soon(() => {
    page.keep("pins", page.pins);
    update();
    page.emit("pin");
  });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    const enlarged = document.querySelector("dialog[open]");
    if (event.key === "Escape" && page.pins.length && !typing && !enlarged) page.unpinAll();
  });

  // -- the form -------------------------------------------------------------------------------

  const body = document.getElementById("filters-body");
  const search = el("input", {
    id: "search", type: "search", placeholder: "name, encoder=stdc1, …", value: wanted,
    autocomplete: "off", spellcheck: "false", "aria-label": "Search runs",
    oninput: () => {
      wanted = search.value.trim();
      changed();
    },
  });
  const clear = el("button", { type: "button", class: "quiet", onclick: reset }, "Clear all filters");

  function reset() {
    wanted = search.value = "";
    for (const some of chosen.values()) some.clear();
    ranges.clear();
    for (const input of body.querySelectorAll("input")) {
      if (input.type === "checkbox") input.checked = false;
      else input.value = "";
    }
    changed();
  }

  function boxes(key, found) {
    if (!chosen.has(key)) chosen.set(key, new Set());
    return el("fieldset", {}, el("legend", {}, key), found.map((value) => {
      const box = el("input", {
        type: "checkbox", "data-key": key, "data-value": value, checked: chosen.get(key).has(value),
        onchange: () => {
          chosen.get(key)[box.checked ? "add" : "delete"](value);
          changed();
        },
      });
      return el("label", { class: "box" }, box, el("span", { class: "value" }, value), el("span", { class: "number" }));
    }));
  }

  function range(key, found) {
    const ends = ["low", "high"].map((end, i) => {
      const kept = (ranges.get(key) || [null, null])[i];
      const input = el("input", {
        type: "number", step: "any", "data-key": key, "data-end": end,
        placeholder: i ? found[found.length - 1] : found[0],
        "aria-label": `${key}, ${i ? "highest" : "lowest"}`,
        oninput: () => {
          const both = [...(ranges.get(key) || [null, null])];
          both[i] = input.value === "" ? null : Number(input.value);
          ranges.set(key, both);
          changed();
        },
      });
      if (kept !== null) input.value = kept;
      return input;
    });
    return el("fieldset", {}, el("legend", {}, key), el("div", { class: "range" }, ends[0], "to", ends[1]));
  }

  // What was chosen before the page was written anew, and is not there any more, hides nothing.
  function forget() {
    const known = new Set(["state", ...page.varied]);
    for (const [key, some] of chosen) {
      const there = known.has(key) ? page.valuesOf(key)[0] : [];
      chosen.set(key, new Set([...some].filter((value) => there.includes(value))));
    }
    for (const key of ranges.keys()) if (!known.has(key)) ranges.delete(key);
  }

  page.buildFilters = function buildFilters() {
    forget();
    const [states] = page.valuesOf("state");
    body.append(search);
    if (states.length > 1) body.append(boxes("state", states));
    for (const key of page.varied) {
      const [found, numeric] = page.valuesOf(key);
      body.append(numeric && found.length > MOST_BOXES ? range(key, found) : boxes(key, found));
    }
    body.append(clear);
    if (page.narrow()) document.getElementById("filters").open = false;
    update();
  };
})(window.page);
