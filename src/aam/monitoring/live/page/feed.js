// What comes from the server. Addresses are relative: the token stands in the page's own.

export function get(path, parameters = {}) {
  return answer(path, parameters, "GET");
}

export function post(path, parameters = {}) {
  return answer(path, parameters, "POST");
}

// Errors have the status of the answer; none came if there is no connection.
async function answer(path, parameters, method) {
  const address = `${path}?${new URLSearchParams(parameters)}`;
  const response = await fetch(address, { method }).catch(() => {
    throw Object.assign(new Error("No connection to aam-monitor."), { status: 0 });
  });
  const told = await response.json();
  if (!response.ok) throw Object.assign(new Error(told.error), { status: response.status });
  return told;
}

// Calls `changed(revisions)` whenever something has changed; one connection at a time.
export class Feed {
  constructor(showConnection) {
    this.showConnection = showConnection;
    this.source = null;
  }

  open(parameters, changed) {
    this.source?.close();
    const source = new EventSource(`api/changes?${new URLSearchParams(parameters)}`);
    source.onopen = () => this.showConnection("");
    source.onmessage = (message) => changed(JSON.parse(message.data));
    source.onerror = () => {
      const isOver = source.readyState === EventSource.CLOSED;
      this.showConnection(isOver ? "This address is no longer valid: aam-monitor was started anew"
        : "No connection to aam-monitor: trying again …");
    };
    source.addEventListener("closed", () => {
      source.close();
      this.showConnection("aam-monitor was ended: what is shown is of then");
    });
    this.source = source;
  }
}

// Does `work` at most once at a time, and once more if it was asked for in the meantime.
export function oneAtATime(work) {
  let running = false;
  let again = false;
  return async function run() {
    again = running;
    if (running) return;
    running = true;
    try {
      await work();
    } catch (error) {
      if (error.status !== 0) throw error; // no connection: the feed says so
    } finally {
      running = false;
    }
    if (again) run();
  };
}
