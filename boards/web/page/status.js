// What the page says, over what is shown, so that nothing moves: what goes on, what went well, what failed.

/** The element of an id. */
export const $ = (id) => document.getElementById(id);

/** Tasks that go on. */
const tasks = new Set();

/** The last message, for a while. */
let message;
let timer;

/** Says that something was done. */
export function say(text) {
  put({ text, failed: false }, SAID_MS);
}

/** Says that something failed. */
export function fail(error) {
  put({ text: typeof error === "string" ? error : error.message, failed: true }, FAILED_MS);
}

/**
 * Runs a task. Where it takes longer than is noticed, the page says so, with a bar; `work` gets a function to call with the
 * part that is done. `cancel` is offered with it, if it is given.
 */
export async function busy(text, work, cancel) {
  const task = { text, cancel, part: undefined, noticed: false };
  tasks.add(task);
  const noticed = setTimeout(() => {
    task.noticed = true;
    render();
  }, NOTICED_MS);
  try {
    return await work((part) => {
      task.part = part;
      if (task.noticed) render();
    });
  } finally {
    clearTimeout(noticed);
    tasks.delete(task);
    render();
  }
}

function put(next, milliseconds) {
  message = next;
  clearTimeout(timer);
  timer = setTimeout(() => {
    message = undefined;
    render();
  }, milliseconds);
  render();
}

function render() {
  const task = [...tasks].find((task) => task.noticed);
  write($("said"), (message && !message.failed ? message.text : undefined) ?? task?.text ?? "");
  write($("failed"), message?.failed ? message.text : "");
  $("busy").hidden = !task;
  if (task?.part === undefined) $("busy").removeAttribute("value");
  else $("busy").value = task.part;
  $("cancel").hidden = !task?.cancel;
  $("cancel").onclick = () => task?.cancel?.();
  $("status").classList.toggle("shown", Boolean(task || message));
}

/** Only what has changed is read out. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** After which a wait is shown. */
const NOTICED_MS = 200;
const SAID_MS = 3000;
const FAILED_MS = 10000;
