// Which view is shown: the list of runs, or the run that the address names.

import { ask, el, put, setClock } from "./dom.js";
import { Feed, get, oneAtATime, post } from "./feed.js";
import { ListView } from "./list.js";
import { RunView } from "./run.js";

const main = document.getElementById("main");
const where = document.getElementById("where");
const connection = document.getElementById("connection");
const feed = new Feed((text) => {
  connection.textContent = text;
  connection.hidden = !text;
});
let folder = null; // what /api/runs told at first: the folder, and whether it is one run

async function start() {
  folder = await get("api/runs");
  setClock(folder.now);
  open();
}

function open() {
  const named = new URLSearchParams(location.hash.slice(1)).get("run");
  if (named) openRun(named);
  else if (folder.is_run) openRun(folder.runs[0].key);
  else openList();
}

function openList() {
  document.title = "aam: runs";
  put(where, folder.folder);
  const view = new ListView(main);
  const load = oneAtATime(async () => {
    const told = await get("api/runs");
    setClock(told.now);
    if (told.is_run && !folder.is_run) { // the folder of a run that has only now started
      folder = told;
      return open();
    }
    view.show(told);
    await new Promise((resolve) => { setTimeout(resolve, 500); }); // many runs: not more often
  });
  view.show(folder);
  feed.open({}, load);
}

function openRun(key) {
  put(where, folder.is_run ? null : el("a", { href: "#" }, "← all runs"));
  const view = new RunView(main, folder.look, key);
  const load = oneAtATime(() => view.load());
  feed.open({ run: key }, load);
}

document.getElementById("close").addEventListener("click", async () => {
  const isSure = await ask(
    "End aam-monitor? Trainings go on; the page will show nothing new.", "End aam-monitor",
  );
  if (isSure) await post("api/close");
});
window.addEventListener("hashchange", open);
start().catch((error) => put(main, el("p", { class: "banner bad" }, String(error.message))));
