// Runs that differ in their seed only, taken together: means, standard deviations, and of what.
//
// As `rows.rows` with `group_seeds`: finished runs count; where none is finished, those there are.
(function (page) {
  "use strict";
  const unique = (values) => [...new Set(values)];

  // A run scored over another split is not another seed.
  function groups(runs) {
    const found = new Map();
    for (const run of runs) {
      const key = JSON.stringify([run.design || run.id, (run.environment || {}).split || ""]);
      if (!found.has(key)) found.set(key, []);
      found.get(key).push(run);
    }
    return [...found.values()];
  }

  page.severalSeeds = groups(page.runs).some((members) => members.filter(page.done).length > 1);

  function mean(values) {
    return values.reduce((sum, value) => sum + value, 0) / values.length;
  }

  // Mean, standard deviation (null for a single run or none) and number of the runs' values.
  function summary(runs, key) {
    const values = runs.map((run) => page.figure(run, key)).filter((value) => value !== null);
    if (!values.length) return null;
    const same = values.every((value) => value === values[0]);
    const centre = same ? values[0] : mean(values);
    const rest = values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
    return { mean: centre, spread: same ? null : Math.sqrt(rest / (values.length - 1)), n: values.length };
  }

  // The words that all names share, without the seed.
  function commonName(runs) {
    const words = runs.map((run) => run.name.split(" "));
    const kept = words[0].filter((word) => !word.startsWith("seed=") && words.every((other) => other.includes(word)));
    return kept.join(" ") || runs[0].name;
  }

  function entry(members, name) {
    const done = members.filter(page.done);
    const counted = done.length ? done : members;
    return {
      id: members[0].id,
      ids: members.map((run) => run.id),
      run: counted[0],
      name,
      counted,
      left: members.filter((run) => !counted.includes(run)),
      done: done.length > 0,
      figure: (key) => summary(counted, key),
    };
  }

  page.single = (run) => entry([run], run.name);
  page.designs = (runs) => groups(runs).map((members) => entry(members, commonName(members)));

  // "71.20 ± 0.31 % (n = 3)"
  page.showMean = function showMean(key, found) {
    if (!found) return page.NONE;
    const text = page.show(key, found.mean);
    const unit = page.unit(key) ? ` ${page.unit(key)}` : "";
    const around = found.spread === null ? "" : ` ± ${spreadOf(key, found.spread, text)}`;
    return `${text}${around}${unit}${found.n > 1 ? ` (n = ${found.n})` : ""}`;
  };

  // With the decimals of its mean.
  function spreadOf(key, spread, mean) {
    if (page.kind(key) === "count") return page.show(key, spread);
    const decimals = (mean.split(".")[1] || "").replace(/\D.*/, "").length;
    return (page.kind(key) === "share" ? 100 * spread : spread).toFixed(decimals);
  }

  // The tooltip of a point: titled texts, in order. A design says which seeds it is the mean of.
  page.tipsOf = function tipsOf(point, figures) {
    if (point.counted.length + point.left.length === 1) return page.tips(point.run, figures);
    const seeds = (runs) => runs.map((run) => page.value(run, "seed") ?? run.name).join(", ");
    const told = [["design", point.name]];
    for (const key of figures) told.push([page.label(key), page.showMean(key, point.figure(key))]);
    told.push([point.done ? "mean over seeds" : "seeds, none finished", seeds(point.counted)]);
    for (const state of unique(point.left.map((run) => run.state))) {
      told.push([`not in it, ${state}`, seeds(point.left.filter((run) => run.state === state))]);
    }
    return [...told, ...page.choicesOf(point.run).filter(([key]) => key !== "seed")];
  };
})(window.page);
