// A worker, and what becomes of requests when it ends.

/** The worker has ended before it answered; the next request starts another. */
export class WorkerLost extends Error {
  name = "WorkerLost";
}

/** A worker that answers requests. */
export class Remote {
  #worker;
  #pending = new Map();
  #next = 0;
  #lost = new AbortController();

  /** Starts a worker; `start` is the first thing that it is told. */
  constructor(start) {
    const name = `pocketgan-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
    this.#worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name });
    this.#worker.onmessage = ({ data }) => (data.locked ? this.#watch(name) : this.#answer(data));
    this.#worker.onerror = (event) => {
      event.preventDefault?.();
      this.end(event.message || "the worker could not be started");
    };
    this.#worker.onmessageerror = () => this.end("the worker said something that cannot be read");
    this.request("start", start).catch(() => {});
  }

  /** Aborted once the worker has ended; its reason is a `WorkerLost`. */
  get lost() {
    return this.#lost.signal;
  }

  /**
   * Sends a request; resolves with the answer. `deadline` is how many milliseconds it may take, after which the worker is
   * ended.
   */
  request(operation, request, { deadline, onProgress, refusal = Error } = {}) {
    if (this.lost.aborted) return Promise.reject(this.lost.reason);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const late = () => this.end(`no answer within ${Math.round(deadline / 1000)} seconds`);
      const timer = deadline && setTimeout(late, deadline);
      this.#pending.set(id, { resolve, reject, timer, onProgress, refusal });
      this.#worker.postMessage({ id, operation, request });
    });
  }

  /** Ends the worker; what it has not answered is rejected. */
  end(reason) {
    if (this.lost.aborted) return;
    this.#worker.terminate();
    this.#lost.abort(new WorkerLost(reason));
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(this.lost.reason);
    }
    this.#pending.clear();
  }

  #answer({ id, result, progress, error }) {
    const pending = this.#pending.get(id);
    if (!pending) return;
    if (progress) {
      pending.onProgress?.(progress);
      return;
    }
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    if (error?.fatal) {
      pending.reject(new WorkerLost(error.message));
      this.end(error.message);
    } else if (error) {
      pending.reject(new (error.refused ? pending.refusal : Error)(error.message));
    } else {
      pending.resolve(result);
    }
  }

  /** Notices when the worker ends: only then is its lock free. */
  #watch(name) {
    const ended = () => this.end("the worker has ended");
    // Rejected when it was ended from here.
    navigator.locks.request(name, { signal: this.lost }, ended).catch(() => {});
  }
}
