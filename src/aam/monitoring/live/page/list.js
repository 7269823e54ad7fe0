// The list of runs.

import { el, pill, put, since } from "./dom.js";

export class ListView {
  constructor(main) {
    this.told = null;
    this.rows = new Map(); // key of a run → its row, and what that was made of
    this.filter = el("input", {
      type: "search", placeholder: "filter: name, state, loop, data", "aria-label": "filter",
      oninput: () => this.fill(),
    });
    this.counts = el("span", { class: "counts" });
    this.body = el("tbody");
    this.note = el("p", { class: "quiet" });
    const titles = ["State", "Run", "Loop", "Data", "Epochs", "Best", "Started", "Last fact"];
    const head = el("tr", {}, ...titles.map((title) => el("th", {}, title)));
    this.table = el("table", { class: "runs" }, el("thead", {}, head), this.body);
    put(main, el("div", { class: "bar" }, this.filter, this.counts), this.table, this.note);
  }

  show(told) {
    this.told = told;
    this.fill();
  }

  fill() {
    const { runs, look, folder, exists } = this.told;
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = runs.filter((run) => words.every((word) => textOf(run).includes(word)));
    const rows = kept.map((run) => this.row(run, look));
    const isSame = rows.length === this.body.children.length
      && rows.every((one, place) => one === this.body.children[place]);
    if (!isSame) put(this.body, rows);
    put(this.counts, Object.keys(look.states).flatMap((state) => {
      const number = runs.filter((run) => run.state === state).length;
      return number ? [el("span", {}, `${number} `, pill(state, look))] : [];
    }));
    this.table.hidden = !kept.length;
    this.note.hidden = kept.length > 0;
    this.note.textContent = !exists ? `The folder ${folder} is gone. Runs are shown when it is back.`
      : runs.length ? "No run has all of these words."
        : `No runs yet below ${folder}. They are shown as soon as they start.`;
  }

  // A row that has not changed stays the same element: it may have the focus, or be clicked now.
  row(run, look) {
    const text = JSON.stringify(run);
    const old = this.rows.get(run.key);
    const node = old?.text === text ? old.node : makeRow(run, look);
    this.rows.set(run.key, { text, node });
    return node;
  }
}

function textOf(run) {
  return [run.folder, run.name, run.state, run.loop, run.data].join(" ").toLowerCase();
}

function makeRow(run, look) {
  const link = el("a", { href: `#run=${run.key}` }, run.name);
  const cells = [
    ["State", pill(run.state, look), run.is_asked_to_stop ? el("small", {}, "stop asked") : null],
    ["Run", link, run.folder ? el("small", {}, run.folder) : null],
    ["Loop", run.loop],
    ["Data", run.data],
    ["Epochs", epochs(run)],
    ["Best", ...best(run.best)],
    ["Started", since(run.started)],
    ["Last fact", since(run.updated)],
  ];
  return el("tr", {}, ...cells.map(([title, ...content]) => (
    el("td", { "data-title": title }, ...content)
  )));
}

function epochs(run) {
  if (!run.num_epochs) return String(run.num_done);
  const meter = el("span", { class: "meter" }, el("span"));
  meter.firstChild.style.width = `${Math.min(100, (100 * run.num_done) / run.num_epochs)}%`;
  return el("span", { class: "nobreak" }, `${run.num_done}/${run.num_epochs} `, meter);
}

function best(told) {
  if (!told) return ["–"];
  return [told.value, el("small", {}, `${told.metric}, epoch ${told.epoch}`)];
}
