// The page of one run.

import { Charts } from "./charts.js";
import { ask, command, duration, el, now, pill, put, setClock, since } from "./dom.js";
import { get, post } from "./feed.js";

// More points than that are fetched anew, thinned out by the server.
const MAX_POINTS = 4000;
const FEW_FINDINGS = 4;

export class RunView {
  constructor(main, look, key) {
    this.key = key;
    this.look = look;
    this.data = { generation: "", num: 0, columns: {} };
    this.told = null;
    this.shown = {}; // section → what it was last made of, so that only what changes is made anew
    this.sections = {};
    this.age = el("time");
    const names = ["title", "banner", "tiles", "test", "panels", "findings", "metrics", "figures",
      "about"];
    for (const name of names) this.sections[name] = el("section", { id: name });
    this.charts = new Charts(look, this.sections.panels, this.sections.metrics);
    put(main, ...Object.values(this.sections));
    clearInterval(RunView.ticking);
    RunView.ticking = setInterval(() => this.tick(), 1000);
  }

  // One after another: two answers that begin at the same epoch would both be joined.
  load() {
    const before = this.loading ?? Promise.resolve();
    this.loading = before.catch(() => {}).then(() => this.fetch());
    return this.loading;
  }

  async fetch() {
    const { generation, num } = this.data;
    try {
      const told = await get("api/run", { run: this.key, generation, since: num });
      this.take(told);
      await this.show();
    } catch (error) {
      if (!error.status) throw error;
      this.data = { generation: "", num: 0, columns: {} };
      this.update("banner", error.message, () => [el("p", { class: "banner bad" }, error.message)]);
      this.sections.title.querySelector(".danger")?.remove();
      this.shown.title = null;
    }
  }

  take(told) {
    setClock(told.now);
    const { columns, num_epochs: num } = told.charts;
    const old = told.since === 0 ? {} : this.data.columns;
    const length = old.epoch?.length ?? 0;
    const joined = {};
    for (const [name, values] of Object.entries(columns)) {
      joined[name] = [...(old[name] ?? Array(length).fill(null)), ...values];
    }
    const isLong = joined.epoch.length > MAX_POINTS;
    this.data = { generation: isLong ? "" : told.generation, num, columns: joined };
    this.told = told;
  }

  async show() {
    if (!this.sections.title.isConnected) return; // another view has taken its place
    const { run, about, headline, end, test, findings, figures } = this.told;
    document.title = `${run.state}: ${run.name}`;
    this.update("title", [run.state, about, this.canStop()], () => this.title());
    since(run.updated, this.age);
    this.update("banner", [end, run.is_asked_to_stop, run.num_done], () => this.banner());
    this.update("tiles", headline, () => headline.map(tile));
    this.update("test", test, () => card("Test", test && tested(test)));
    this.update("findings", findings, () => card("Diagnostics", log(findings)));
    this.update("figures", figures, () => this.figures(figures));
    this.update("about", about, () => aboutCard(about));
    this.tick();
    await this.charts.show(this.told, this.data.columns);
  }

  update(name, content, make) {
    const text = JSON.stringify(content);
    if (this.shown[name] === text) return;
    this.shown[name] = text;
    put(this.sections[name], make());
  }

  title() {
    const { run, about } = this.told;
    const facts = [run.loop, run.data === "?" ? "" : run.data, `${about.samples.join(", ")} samples`, about.device, about.host];
    const button = el("button", { class: "danger", onclick: () => this.stop() },
      "Stop after this epoch");
    this.progress = el("p", { class: "progress" });
    return [
      el("div", {}, el("h1", {}, pill(run.state, this.look), " ", run.name),
        el("p", { class: "quiet" }, facts.filter(Boolean).join(" · "), " · last fact ",
          this.age),
        this.progress),
      this.canStop() ? button : null,
    ];
  }

  // In its last epoch, and when it is asked already, there is nothing to stop.
  canStop() {
    const { run } = this.told;
    const isLast = run.num_epochs !== null && run.num_done + 1 >= run.num_epochs;
    return run.state === "running" && !run.is_asked_to_stop && !isLast;
  }

  banner() {
    const { run, end } = this.told;
    if (run.is_asked_to_stop) {
      return [el("p", { class: "banner" },
        `Stop asked: waiting for the end of epoch ${run.num_done + 1}.`)];
    }
    if (!end) return [];
    const kind = { finished: "good", failed: "bad", died: "bad" }[run.state] ?? "";
    const details = end.traceback
      && el("details", {}, el("summary", {}, "traceback"), el("pre", {}, end.traceback));
    return [el("div", { class: `banner ${kind}` }, end.text,
      end.command ? el("div", {}, "Go on with ", command(end.command)) : null, details)];
  }

  // How far the epoch under way may be: facts come at its end only.
  tick() {
    if (!this.progress || !this.told) return;
    const { run, pace } = this.told;
    const isUnderWay = run.state === "running" && run.num_done < (run.num_epochs ?? Infinity);
    if (!isUnderWay) {
      this.progress.textContent = "";
      return;
    }
    const passed = now() - run.updated;
    const what = run.num_epochs === 1 ? "Fit" : `Epoch ${run.num_done + 1}`;
    const parts = [`${what} under way for ${duration(passed)}`];
    if (pace) parts[0] += ` of about ${duration(pace.epoch_s)}`;
    if (pace?.left_s) parts.push(`at most about ${duration(pace.left_s - passed)} left`);
    this.progress.textContent = parts.join(" · ");
  }

  async stop() {
    const { run } = this.told;
    const isSure = await ask(
      `Stop ${run.name} after epoch ${run.num_done + 1}? It saves what it has learned, and can be `
      + "resumed.", "Stop after this epoch",
    );
    if (!isSure) return;
    try {
      await post("api/stop", { run: this.key });
      await this.load();
    } catch (error) {
      this.update("banner", error.message, () => [el("p", { class: "banner bad" }, error.message)]);
    }
  }

  figures(figures) {
    const address = ({ name, version }) => (
      `figures/${encodeURIComponent(name)}?${new URLSearchParams({ run: this.key, version })}`
    );
    const shown = figures.map((figure) => {
      const title = figure.name.replace(/\.\w+$/, "").replaceAll("_", " ");
      const inside = figure.name.endsWith(".pdf") ? "PDF"
        : el("img", { src: address(figure), alt: title, loading: "lazy" });
      return el("figure", {}, el("a", { href: address(figure), target: "_blank" }, inside),
        el("figcaption", {}, figure.name));
    });
    return card("Figures", shown);
  }
}

function tile({ label, value, note, tone }) {
  return el("div", { class: `tile ${tone}` }, el("h3", {}, label), el("strong", {}, value),
    note ? el("small", {}, note) : null);
}

function tested({ table: [head, ...rows], sentences }) {
  const line = (tag, cells) => cells.map((cell) => el(tag, {}, cell.replace(/^[> ] /, "")));
  const body = rows.map((cells) => (
    el("tr", { class: cells[0].startsWith("> ") ? "ours" : null }, ...line("td", cells))
  ));
  return [el("table", { class: "scores" }, el("thead", {}, el("tr", {}, ...line("th", head))),
    el("tbody", {}, ...body)), 
  el("div", {}, ...sentences.map((text) => el("p", {}, text)))];
}

function log(findings) {
  const [shown, rest] = [findings.slice(0, FEW_FINDINGS), findings.slice(FEW_FINDINGS)];
  return [...shown.map(finding), ...(rest.length
    ? [el("details", {}, el("summary", {}, `${rest.length} before`), ...rest.map(finding))] : [])];
}

function finding({ kind, epochs, holds, evidence, advice, command: text }) {
  return el("div", { class: holds ? "finding holds" : "finding" },
    el("h3", {}, kind, el("small", {}, holds ? `${epochs}, holds still` : `${epochs}, over`)),
    el("p", {}, evidence), el("p", {}, el("em", {}, "Advice: "), advice, text ? ":" : null),
    text ? command(text) : null);
}

function card(title, content) {
  return content?.length ? [el("h2", {}, title), el("div", { class: "inside" }, ...content)] : [];
}

function aboutCard({ command: text, path }) {
  return card("This run", [el("p", {}, el("code", {}, path)), text ? command(text) : null]);
}
