// Marginal means with 95 % intervals of any runs, the way `effects.py` computes them and explains
// it: only blocks that all options have met are compared, by Student's t. The rules, and the
// quantiles of t, come with the data.
(function (page) {
  "use strict";
  const rules = page.data.effect_rules;
  const { unique, sum, mean, squares } = page;
  const quantile = (freedom) => rules.quantiles[freedom - 1];
  const mapped = (map, action) => new Map([...map].map(([key, value]) => [key, action(value)]));
  const flat = (cell) => [...cell.values()].flat();

  // -- what varies ----------------------------------------------------------------------------

  function factorOf(runs, name) {
    const values = new Map(runs.filter((run) => name in run.marks).map((run) => [run.id, run.marks[name]]));
    return { name, values, options: unique(values.values()) };
  }

  // Whether `other` is the same wherever `one` is; of two that do, the experiment is the other one.
  function decides(one, other) {
    const met = page.group([...other.values], ([id]) => one.values.get(id) ?? "");
    const alike = [...met.values()].every((pairs) => pairs.every(([, option]) => option === pairs[0][1]));
    return alike && !(other.name === "experiment" && decides(other, one));
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

  // What else must agree, as a function of a run.
  function partnersOf(runs, factor, figure) {
    const names = page.data.varied.filter((name) => {
      const values = new Map(runs.map((run) => [run.id, run.marks[name] || ""]));
      const decided = rules.deciding.includes(factor.name) && decides(factor, { name, values });
      return name !== factor.name && !decided;
    });
    const latency = figure.startsWith("latency/") ? rules.latency_conditions : [];
    const conditions = [...rules.conditions, ...latency].filter(
      (key) => factor.name !== "data" || !["data", "validation"].includes(key)
    );
    return (run) => [...names.map((name) => run.marks[name] || ""), ...conditions.map((key) => run.environment[key] || "")];
  }

  // Of each option, its figures by block.
  const cellsOf = (runs, factor, figure, blockOf) =>
    mapped(page.group(runs, (run) => factor.values.get(run.id)), (some) =>
      mapped(page.group(some, (run) => JSON.stringify(blockOf(run))), (cell) => cell.map((run) => page.figure(run, figure)))
    );

  // Whether seeds only repeat the values of a cell: MACs, or a latency measured once for all seeds.
  function repeats(cells) {
    const several = [...cells.values()].flatMap((cell) => [...cell.values()]).filter((values) => values.length > 1);
    return several.length > 0 && several.every((values) => values.every((value) => value === values[0]));
  }

  const once = (cells) => (repeats(cells) ? mapped(cells, (cell) => mapped(cell, (values) => values.slice(0, 1))) : cells);

  // Only the blocks that all options have met, in the same order, seed by seed if they share
  // several; or null.
  function compared(runs, factor, figure, partners, plain) {
    const bySeed = (run) => [...partners(run), String(run.seed)];
    for (const cells of repeats(plain) ? [plain] : [cellsOf(runs, factor, figure, bySeed), plain]) {
      const all = [...cells.values()];
      const blocks = [...all[0].keys()].filter((block) => all.every((cell) => cell.has(block)));
      if (blocks.length > 1 || (cells === plain && blocks.length)) {
        return mapped(cells, (cell) => new Map(blocks.map((block) => [block, cell.get(block)])));
      }
    }
    return null;
  }

  // -- how sure -------------------------------------------------------------------------------

  // Half of the interval, by option; null where the means have no interval.
  function halves(cells) {
    const table = [...cells.values()].map((cell) => [...cell.values()].map(mean));
    const [options, blocks] = [table.length, table[0].length];
    if (blocks === 1) return fromReplicates(mapped(cells, flat));
    const rows = table.map(mean);
    const columns = table[0].map((_, at) => mean(table.map((row) => row[at])));
    const grand = mean(rows);
    const rest = table.flatMap((row, i) => row.map((value, at) => value - rows[i] - columns[at] + grand));
    const freedom = (options - 1) * (blocks - 1);
    const half = quantile(freedom) * Math.sqrt(squares(rest, 0) / freedom / blocks);
    return mapped(cells, () => half);
  }

  // One block: the spread within its cells, taken together.
  function fromReplicates(values) {
    const all = [...values.values()];
    const freedom = sum(all.map((each) => each.length - 1));
    const rest = sum(all.map((each) => squares(each, mean(each))));
    return mapped(values, (each) => (freedom ? (quantile(freedom) * Math.sqrt(rest / freedom)) / Math.sqrt(each.length) : null));
  }

  // -- effects --------------------------------------------------------------------------------

  function effectsOn(done, factor, figure) {
    const runs = done.filter((run) => page.figure(run, figure) !== null && factor.values.has(run.id));
    const partners = partnersOf(done, factor, figure);
    const plain = cellsOf(runs, factor, figure, partners);
    if (plain.size < 2 || unique(runs.map((run) => page.figure(run, figure))).length < 2) return [];
    const common = compared(runs, factor, figure, partners, plain);
    const single = once(common || plain);
    const half = common && halves(single);
    return [...single].map(([option, cell]) => {
      const centre = mean(common ? [...cell.values()].map(mean) : flat(cell));
      const wide = common ? half.get(option) : fromReplicates(new Map([[option, flat(cell)]])).get(option);
      return {
        factor: factor.name, option, figure, mean: centre,
        low: wide === null ? null : centre - wide, high: wide === null ? null : centre + wide,
        runs: flat((common || plain).get(option)).length, measured: flat(plain.get(option)).length,
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
