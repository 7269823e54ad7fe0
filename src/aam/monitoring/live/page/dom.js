// Small helpers: elements made from text (never from markup), times for people, questions.

export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  put(node, ...children);
  return node;
}

// Strings become text nodes: what a fact says is shown as it is, whatever signs it holds.
export function put(node, ...children) {
  node.replaceChildren(...children.flat().filter((one) => one !== null && one !== undefined));
  return node;
}

let offset = 0; // the server's clock - this one's, in seconds

export function setClock(serverNow) {
  offset = serverNow - Date.now() / 1000;
}

export function now() {
  return Date.now() / 1000 + offset;
}

export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value) => String(value).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${two(minutes)}:${two(rest)}`;
}

export function age(seconds) {
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const whole = Math.floor(seconds);
  for (const [name, size] of units) {
    const count = Math.floor(whole / size);
    if (count > 0) return `${count} ${name}${count === 1 ? "" : "s"} ago`;
  }
  return "just now";
}

// An age that keeps itself up to date; of a node that is there already, it begins anew.
export function since(moment, node = el("time")) {
  const date = new Date(moment * 1000);
  node.setAttribute("datetime", date.toISOString());
  node.setAttribute("title", date.toLocaleString());
  node.dataset.since = moment;
  return put(node, age(now() - moment));
}

setInterval(() => {
  for (const node of document.querySelectorAll("[data-since]")) {
    const text = age(now() - Number(node.dataset.since));
    if (node.textContent !== text) node.textContent = text;
  }
}, 1000);

export function pill(state, look) {
  const node = el("span", { class: `pill ${state}` }, state);
  node.style.setProperty("--state", look.states[state]);
  return node;
}

export function command(text) {
  const button = el("button", { class: "copy", onclick: () => copy(text, button) }, "copy");
  return el("span", { class: "command" }, el("code", {}, text), button);
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // no clipboard without https, but on localhost
    const area = put(el("textarea"), text);
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "copied";
  setTimeout(() => { button.textContent = "copy"; }, 1500);
}

// Ask; resolves to whether the answer was yes.
export function ask(question, yes) {
  const dialog = document.getElementById("dialog");
  put(document.getElementById("question"), question);
  put(document.getElementById("yes"), yes);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
