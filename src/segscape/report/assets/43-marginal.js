// Marginal means with 95 % intervals of any runs, the way `effects.py` computes them and explains
// it: only blocks that all options have met are compared, by Student's t. The rules, and the
// quantiles of t, come with the data.
(function (page) {
  "use strict";
  const rules = page.data.effect_rules;
  const unique = (values) => [...new Set(values)];
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const mean = (values) => sum(values) / values.length;
  const squares = (values, centre) => sum(values.map((value) => (value - centre) ** 2));
  const quantile = (freedom) => rules.quantiles[freedom - 1];

  // -- what varies ----------------------------------------------------------------------------

  function factorOf(runs, name) {
    const known = runs.filter((run) => name in run.marks);
    const values = new Map(known.map((run) => [run.id, run.marks[name]]));
    return { name, values, options: unique(values.values()) };
  }

  // Whether `other` is the same wherever `one` is; of two that do, the experiment is the other one.
  function decides(one, other) {
    const seen = new Map();
    for (const [id, option] of other.values) {
      const key = one.values.get(id) ?? "";
      if (!seen.has(key)) seen.set(key, option);
      if (seen.get(key) !== option) return false;
    }
    return !(other.name === "experiment" && decides(other, one));
  }

  function isFraction(text) {
    const number = Number(text);
    return text.trim() !== "" && !Number.isNaN(number) && !Number.isInteger(number);
  }

  // Options that runs share, and not a different number in every run.
  function countable({ options, values }) {
    if (options.length > rules.most_options) return false;
    const few = options.every(isFraction) ? 2 : 6;
    return options.length <= few || options.length < values.size / 1.5;
  }

  function factors(runs) {
    const all = page.data.varied.map((name) => factorOf(runs, name)).filter(({ options }) => options.length > 1);
    const deciding = all.filter(({ name }) => rules.deciding.includes(name));
    const own = (factor) => !deciding.some((other) => other !== factor && decides(other, factor));
    return all.filter((factor) => own(factor) && countable(factor));
  }

  // -- who is compared with whom ------------------------------------------------------------------

  // Of each run, everything else that must agree.
  function partners(runs, factor, figure) {
    const names = page.data.varied.filter((name) => {
      if (name === factor.name) return false;
      const values = new Map(runs.map((run) => [run.id, run.marks[name] || ""]));
      return !(rules.deciding.includes(factor.name) && decides(factor, { name, values }));
    });
    const latency = figure.startsWith("latency/") ? rules.latency_conditions : [];
    const conditions = [...rules.conditions, ...latency].filter(
      (key) => factor.name !== "data" || !["data", "validation"].includes(key)
    );
    const told = (run) => [
      ...names.map((name) => run.marks[name] || ""),
      ...conditions.map((key) => run.environment[key] || ""),
    ];
    return new Map(runs.map((run) => [run.id, told(run)]));
  }

  // Of each option, its figures by block.
  function cellsOf(runs, factor, figure, met, withSeed) {
    const cells = new Map();
    for (const run of runs) {
      const block = JSON.stringify([...met.get(run.id), ...(withSeed ? [String(run.seed)] : [])]);
      const option = factor.values.get(run.id);
      if (!cells.has(option)) cells.set(option, new Map());
      const cell = cells.get(option);
      if (!cell.has(block)) cell.set(block, []);
      cell.get(block).push(page.figure(run, figure));
    }
    return cells;
  }

  // One value a cell where seeds only repeat it: MACs, or a latency measured once for all seeds.
  function repeats(cells) {
    const several = [...cells.values()].flatMap((cell) => [...cell.values()]).filter((values) => values.length > 1);
    return several.length > 0 && several.every((values) => values.every((value) => value === values[0]));
  }

  function once(cells) {
    if (!repeats(cells)) return cells;
    const first = (cell) => new Map([...cell].map(([block, values]) => [block, values.slice(0, 1)]));
    return new Map([...cells].map(([option, cell]) => [option, first(cell)]));
  }

  // Only the blocks that all options have met, in the same order; or null.
  function compared(runs, factor, figure, met) {
    const plain = cellsOf(runs, factor, figure, met, false);
    for (const withSeed of repeats(plain) ? [false] : [true, false]) {
      const cells = cellsOf(runs, factor, figure, met, withSeed);
      const all = [...cells.values()];
      const blocks = [...all[0].keys()].filter((block) => all.every((cell) => cell.has(block)));
      if (blocks.length > 1 || (!withSeed && blocks.length)) {
        const kept = (cell) => new Map(blocks.map((block) => [block, cell.get(block)]));
        return new Map([...cells].map(([option, cell]) => [option, kept(cell)]));
      }
    }
    return null;
  }

  // -- how sure -------------------------------------------------------------------------------

  // Half of the interval, by option; null where nothing tells how sure the means are.
  function halves(cells) {
    const options = [...cells.keys()];
    const table = options.map((option) => [...cells.get(option).values()].map(mean));
    const blocks = table[0].length;
    if (blocks === 1) return fromReplicates(cells);
    const rows = table.map(mean);
    const columns = table[0].map((_, at) => mean(table.map((row) => row[at])));
    const grand = mean(rows);
    const rest = table.flatMap((row, i) => row.map((value, at) => value - rows[i] - columns[at] + grand));
    const freedom = (options.length - 1) * (blocks - 1);
    const half = quantile(freedom) * Math.sqrt(squares(rest, 0) / freedom / blocks);
    return new Map(options.map((option) => [option, half]));
  }

  function fromReplicates(cells) {
    const values = [...cells].map(([option, cell]) => [option, [...cell.values()][0]]);
    const freedom = sum(values.map(([, each]) => each.length - 1));
    const rest = sum(values.map(([, each]) => squares(each, mean(each))));
    const spread = freedom ? quantile(freedom) * Math.sqrt(rest / freedom) : null;
    return new Map(values.map(([option, each]) => [option, freedom ? spread / Math.sqrt(each.length) : null]));
  }

  function ownHalf(values) {
    const freedom = values.length - 1;
    return freedom ? quantile(freedom) * Math.sqrt(squares(values, mean(values)) / freedom / values.length) : null;
  }

  // -- effects --------------------------------------------------------------------------------

  function effectsOn(done, factor, figure) {
    const runs = done.filter((run) => page.figure(run, figure) !== null && factor.values.has(run.id));
    const options = unique(runs.map((run) => factor.values.get(run.id)));
    const constant = new Set(runs.map((run) => page.figure(run, figure))).size < 2;
    if (options.length < 2 || constant) return [];
    const met = partners(done, factor, figure);
    const common = compared(runs, factor, figure, met);
    const cells = common || cellsOf(runs, factor, figure, met, false);
    const single = once(cells);
    const half = common && halves(single);
    return options.map((option) => {
      const alone = [...single.get(option).values()].flat();
      const centre = common ? mean([...single.get(option).values()].map(mean)) : mean(alone);
      const wide = common ? half.get(option) : ownHalf(alone);
      return {
        factor: factor.name, option, figure, mean: centre,
        low: wide === null ? null : centre - wide, high: wide === null ? null : centre + wide,
        runs: [...cells.get(option).values()].flat().length,
        measured: runs.filter((run) => factor.values.get(run.id) === option).length,
        balanced: Boolean(common),
      };
    });
  }

  // As `effects.effects` of these runs. `measured` besides: how many runs have option and figure.
  page.effectsOf = function effectsOf(runs) {
    const done = runs.filter((run) => page.done(run) && rules.figures.some((key) => page.figure(run, key) !== null));
    return factors(done).flatMap((factor) => rules.figures.flatMap((figure) => effectsOn(done, factor, figure)));
  };
})(window.page);
