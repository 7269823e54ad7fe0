// From columns of a value an epoch to what plotly.js draws.

import { el } from "./dom.js";

const FEW_EPOCHS = 15; // so few are marked each
// What is found about the loss itself, and not shown in a panel of its own.
const OF_LOSS = ["worsening", "exploding", "nonfinite", "learning_rate", "short_warmup"];

export class Drawer {
  constructor(look, columns, panels) {
    this.colors = look.colors;
    this.columns = columns;
    this.panels_ = panels;
    const style = getComputedStyle(document.documentElement);
    const theme = (name) => style.getPropertyValue(name).trim();
    this.theme = { ink: theme("--ink"), quiet: theme("--quiet"), grid: theme("--grid"), card: theme("--card"),
      font: theme("--font") };
  }

  panels() {
    const told = this.panels_;
    const { columns } = this;
    const charts = [];
    const losses = told.splits.map((split) => [split, columns[`${split}_loss`]]);
    const isLog = spansDecades(losses.flatMap(([, values]) => values));
    const { numOff, ...loss } = this.curves(losses, isLog);
    charts.push({ id: "loss", title: isLog ? "Loss (log scale)" : "Loss",
      note: noteOf("", numOff, this.mark(loss.layout, OF_LOSS)), ...loss });
    const change = { type: "bar", x: columns.epoch, y: columns.change, hovertemplate: "%{y:+.4g}",
      name: "", marker: { color: columns.change.map((value) => (
        value < 0 ? this.colors.sky : this.colors.orange)) } };
    charts.push(this.panel("change", `Change of the ${told.judged_name} loss per epoch`,
      columns.change, [change], ["plateau"], null, "below 0 is better"));
    if (columns.gap) {
      charts.push(this.panel("gap", "Gap (validation − training)", columns.gap,
        [this.line(columns.gap)], ["overfitting"], told.gap_limit,
        `overfitting: > ${short(told.gap_limit)}, growing`));
    }
    charts.push(this.panel("std", `Std of ${told.std_epochs} epochs (${told.judged_name} loss)`,
      columns.std, [this.line(columns.std)], ["instability"], told.std_limit,
      `unstable: > ${short(told.std_limit)}, not falling`));
    return charts;
  }

  // One of the panels that diagnostics are shown in: a zone above the limit, marks where found.
  panel(id, title, values, traces, kinds, limit, note) {
    const [range, numOff] = focus(values, limit === null ? [0] : [0, 1.2 * limit]);
    const layout = this.layout(range);
    if (limit !== null && range) layout.shapes.push(band("y", limit, range[1], this.colors.orange));
    return { id, title, note: noteOf(note, numOff, this.mark(layout, kinds)), traces, layout };
  }

  // Mark the epochs in which something of these kinds was found, below the curve.
  mark(layout, kinds) {
    const found = kinds.filter((kind) => this.panels_.found[kind]);
    for (const [first, last] of found.flatMap((kind) => this.panels_.found[kind])) {
      layout.shapes.push({ ...band("x", first - 0.5, last + 0.5, this.colors.vermillion),
        y0: 0, y1: 0.035, opacity: 0.9 });
    }
    const names = found.map((kind) => kind.replaceAll("_", " ")).join(", ");
    return found.length ? el("span", { class: "found" }, ` ▁ ${names}`) : null;
  }

  metric({ name, title, columns, last, baselines }) {
    const curves = Object.entries(columns).map(([split, column]) => [split, this.columns[column]]);
    const best = baselines[0];
    const { numOff, ...chart } = this.curves(curves, false, best ? [best.value] : []);
    for (const one of baselines) chart.layout.shapes.push(this.baseline(one, one === best));
    if (best) {
      chart.layout.annotations.push({ text: `${best.name} ${best.text}`, x: 1, xref: "paper",
        xanchor: "right", y: best.value, yanchor: "bottom", showarrow: false, bgcolor: this.theme.card, opacity: 0.85,
        font: { size: 11, color: this.theme.ink } });
    }
    const named = baselines.slice(0, 3).map((one) => `${one.name} ${one.text}`);
    const more = baselines.length > 3 ? ` and ${baselines.length - 3} more` : "";
    const values = Object.entries(last).map(([split, text]) => `${split} ${text}`).join(" · ");
    const mark = name === "grad_norm" ? this.mark(chart.layout, ["gradient_spikes"]) : null;
    return { id: `metric ${name}`, title, note: noteOf(values, numOff, mark),
      caption: baselines.length > 1 ? `dashed, baselines: ${named.join(", ")}${more}` : "",
      ...chart };
  }

  rate() {
    const rates = this.columns.lr;
    const highest = Math.max(...rates.map((value) => Math.abs(value ?? 0)));
    const power = highest > 0 ? Math.floor(Math.log10(highest)) : 0;
    const inUnit = rates.map((value) => (value === null ? null : value / 10 ** power));
    const [range] = focus(inUnit, [0]);
    return { id: "metric lr", title: power ? `Learning rate (in 1e${power})` : "Learning rate",
      note: [short(rates.at(-1))], traces: [this.line(inUnit, this.theme.quiet)],
      layout: this.layout(range) };
  }

  // A curve for each split, and the best epoch marked on the last of them.
  curves(curves, isLog, also = []) {
    const traces = curves.map(([split, values]) => ({ ...this.line(values, this.colors[split]),
      name: split }));
    const all = curves.flatMap(([, values]) => values);
    const [range, numOff] = isLog ? [null, 0] : focus(all, also);
    const layout = this.layout(range);
    if (isLog) Object.assign(layout.yaxis, { type: "log", ...decades() });
    const best = this.columns.epoch.indexOf(this.panels_.best_epoch);
    if (best >= 0) {
      traces.push({ x: [this.columns.epoch[best]], y: [curves.at(-1)[1][best]], mode: "markers",
        marker: { symbol: "star", size: 13, color: this.colors.green }, hoverinfo: "skip" });
    }
    return { traces, layout, numOff };
  }

  line(values, color = this.theme.ink) {
    const mode = values.length <= FEW_EPOCHS ? "lines+markers" : "lines";
    return { x: this.columns.epoch, y: values, mode, name: "", hovertemplate: "%{y:.5g}",
      line: { color, width: 2 }, marker: { size: 5 } };
  }

  baseline({ value }, isBest) {
    const color = isBest ? this.theme.ink : this.theme.quiet;
    return { type: "line", xref: "paper", x0: 0, x1: 1, y0: value, y1: value, layer: "below",
      line: { color, dash: "dash", width: isBest ? 1.4 : 0.7 } };
  }

  layout(range) {
    const { ink, quiet, grid, font } = this.theme;
    const axis = { gridcolor: grid, zeroline: false, linecolor: quiet, color: ink,
      fixedrange: false, exponentformat: "e" };
    const { epoch } = this.columns;
    const ends = [epoch[0] - 0.5, Math.max(epoch.at(-1), epoch[0] + 1) + 0.5];
    const layout = {
      font: { family: font, size: 12, color: ink }, paper_bgcolor: "transparent",
      plot_bgcolor: "transparent", margin: { l: 58, r: 14, t: 8, b: 38 }, showlegend: false,
      hovermode: "x unified", hoverlabel: { font: { size: 12 } }, dragmode: "zoom",
      uirevision: "kept", // what a person has zoomed into stays
      xaxis: { ...axis, title: { text: "epoch", standoff: 6 }, range: ends, tickformat: "d",
        showgrid: false, ...(epoch.length <= 7 ? { dtick: 1 } : {}) },
      yaxis: { ...axis, ...(range ? { range } : {}) },
      shapes: [], annotations: [],
    };
    const best = this.panels_.best_epoch;
    if (best !== null) {
      layout.shapes.push({ type: "line", yref: "paper", x0: best, x1: best, y0: 0, y1: 1,
        layer: "below", line: { color: this.colors.green, dash: "dash", width: 1.2 } });
    }
    return layout;
  }
}

function band(axis, from, to, color) {
  const across = axis === "y" ? { xref: "paper", x0: 0, x1: 1, y0: from, y1: to }
    : { yref: "paper", x0: from, x1: to, y0: 0, y1: 1 };
  return { type: "rect", layer: "below", fillcolor: color, opacity: 0.18, line: { width: 0 },
    ...across };
}

// A few extreme values must not flatten all others: the range to show, and how many lie off it.
function focus(values, also) {
  const finite = values.filter((value) => value !== null && value !== undefined);
  if (!finite.length) return [null, 0];
  const sorted = [...finite].sort((one, other) => one - other);
  const [low, high] = [0.1, 0.9].map((share) => sorted[Math.floor(share * (sorted.length - 1))]);
  const room = 1.5 * (high - low);
  const isInside = (value) => (value >= low - room && value <= high + room);
  const kept = sorted.length < 8 || high === low ? sorted : sorted.filter(isInside);
  const seen = [...kept, ...also];
  const [bottom, top] = [Math.min(...seen), Math.max(...seen)];
  const margin = 0.08 * (top - bottom) || Math.abs(top) * 0.1 || 1;
  return [[bottom === 0 ? 0 : bottom - margin, top + margin], sorted.length - kept.length];
}

// What stands beside a title: words with dots between them, then a mark.
function noteOf(words, numOff, mark = null) {
  const off = numOff ? `${numOff} off the axis` : "";
  return [[words, off].filter(Boolean).join(" · "), mark];
}

// Ticks at 1 and 3 of each power of ten, in full: 0.03, not 3 × 10⁻².
function decades() {
  const ticks = Array.from({ length: 25 }, (_, power) => 10 ** (power - 12));
  const values = ticks.flatMap((value) => [value, 3 * value]);
  return { tickvals: values, ticktext: values.map(short) };
}

function spansDecades(values) {
  const finite = values.filter((value) => value !== null && value !== undefined);
  const lowest = Math.min(...finite);
  return finite.length > 0 && lowest > 0 && Math.max(...finite) >= 20 * lowest;
}

function short(value) {
  return value === null || value === undefined ? "–" : String(Number(value.toPrecision(3)));
}
