// Runs that differ in their seed only, taken together: means, standard deviations, and of what.
//
// As `rows.rows` with `group_seeds`: finished runs count; where none is finished, those there are.
(function (page) {
  "use strict";

  // A run scored over another split is not another seed.
  const groups = (runs) => [
    ...page.group(runs, (run) => JSON.stringify([run.design || run.id, run.environment.split || ""])).values(),
  ];

  page.severalSeeds = groups(page.runs).some((members) => members.filter(page.done).length > 1);

  page.sum = (values) => values.reduce((total, value) => total + value, 0);
  page.mean = (values) => page.sum(values) / values.length;
  page.squares = (values, centre) => page.sum(values.map((value) => (value - centre) ** 2));

  // Mean, standard deviation (null for a single run or none) and number of the runs' values.
  function summary(runs, key) {
    const values = page.known(runs.map((run) => page.figure(run, key)));
    if (!values.length) return null;
    const same = values.every((value) => value === values[0]);
    const mean = same ? values[0] : page.mean(values);
    const spread = same ? null : Math.sqrt(page.squares(values, mean) / (values.length - 1));
    return { mean, spread, n: values.length };
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
  function showMean(key, found) {
    if (!found) return page.NONE;
    const text = page.show(key, found.mean);
    const unit = page.unit(key) ? ` ${page.unit(key)}` : "";
    const around = found.spread === null ? "" : ` ± ${spreadOf(key, found.spread, text)}`;
    return `${text}${around}${unit}${found.n > 1 ? ` (n = ${found.n})` : ""}`;
  }

  // With the decimals of its mean.
  function spreadOf(key, spread, mean) {
    if (page.kind(key) === "count") return page.show(key, spread);
    const decimals = (mean.split(".")[1] || "").replace(/\D.*/, "").length;
    return (page.kind(key) === "share" ? 100 * spread : spread).toFixed(decimals);
  }

  // The tooltip of a point: titled texts, in order. A design lists the seeds of which it is the mean.
  page.tipsOf = function tipsOf(point, figures) {
    if (point.counted.length + point.left.length === 1) return page.tips(point.run, figures);
    const seeds = (runs) => runs.map((run) => page.value(run, "seed") ?? run.name).join(", ");
    return [
      ["design", point.name],
      ...figures.map((key) => [page.label(key), showMean(key, point.figure(key))]),
      [point.done ? "mean over seeds" : "seeds, none finished", seeds(point.counted)],
      ...[...page.group(point.left, (run) => run.state)].map(([state, runs]) => [`not in it, ${state}`, seeds(runs)]),
      ...page.choicesOf(point.run).filter(([key]) => key !== "seed"),
    ];
  };
})(window.page);
