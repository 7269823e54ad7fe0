// The charts of a run: a box with words for each, and plotly.js within.

import { el, put } from "./dom.js";
import { Drawer } from "./drawer.js";

const CONFIG = { responsive: true, displayModeBar: false, showTips: false };
let loading = null;

// Five megabytes: fetched when the first chart is drawn.
function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = el("script", { src: "plotly.js" });
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error("plotly.js cannot be loaded"));
    document.head.append(script);
  });
  return loading;
}

export class Charts {
  constructor(look, panels, metrics) {
    this.look = look;
    this.sections = { panels, metrics };
    this.boxes = new Map();
    this.last = null;
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => this.last && this.show(...this.last));
  }

  async show(told, columns) {
    this.last = [told, columns];
    const { panels, metrics } = told.charts;
    const hasCurves = columns.epoch.length > 0 && !told.is_fitted_at_once;
    this.isShown("panels", hasCurves, "Training", panels.splits);
    this.isShown("metrics", hasCurves && metrics.length > 0, "Metrics", panels.splits);
    if (!hasCurves) return;
    const Plotly = await plotly();
    const drawer = new Drawer(this.look, columns, panels);
    const charts = metrics.map((metric) => drawer.metric(metric));
    const all = [...drawer.panels().map((chart) => this.box("panels", chart)),
      ...(metrics.length ? [...charts, drawer.rate()] : []).map((chart) => (
        this.box("metrics", chart)))];
    // All boxes first: how wide each is depends on how many there are.
    for (const [plot, { traces, layout }] of all) Plotly.react(plot, traces, layout, CONFIG);
  }

  isShown(name, isShown, title, splits) {
    const section = this.sections[name];
    section.hidden = !isShown;
    if (!isShown || section.hasChildNodes()) return;
    const legend = el("span", { class: "legend" }, ...splits.map((split) => {
      const swatch = el("i");
      swatch.style.background = this.look.colors[split];
      return el("span", {}, swatch, this.look.names[split]);
    }), el("span", { class: "star" }, "★ best epoch"));
    section.append(el("h2", {}, title, legend), el("div", { class: "charts" }));
  }

  // The place of a chart on the page, with its words around it.
  box(section, chart) {
    const { id, title, note, caption } = chart;
    if (!this.boxes.has(id)) {
      const parts = { title: el("h3"), note: el("small"), plot: el("div", { class: "plot" }),
        caption: el("p", { class: "caption" }) };
      const box = el("div", { class: "chart" }, el("div", { class: "head" }, parts.title,
        parts.note), parts.plot, parts.caption);
      box.dataset.chart = id;
      this.sections[section].querySelector(".charts").append(box);
      this.boxes.set(id, parts);
    }
    const parts = this.boxes.get(id);
    put(parts.title, title);
    put(parts.note, ...note);
    put(parts.caption, caption ?? "");
    return [parts.plot, chart];
  }
}
