// node suite.mjs SUITE.wasm EXPECTED: runs the kernels' tests in WebAssembly; EXPECTED is the fastest implementation, which
// must be among them.
import { readFileSync } from "node:fs";

const [modulePath, expected] = process.argv.slice(2);
const module = new WebAssembly.Module(readFileSync(modulePath));
let said = "";

for (let index = 0, last = ""; ; index++) {
  if (!instantiate().name(index)) {
    if (last !== expected) throw new Error(`the fastest implementation is ${last}, not ${expected}`);
    break;
  }
  last = said;
  let part = 0;
  for (; runs(last, index, part); part++);
  console.log(`${last}: ${part} parts passed`);
}

/** Runs a part in an instance of its own; whether there is such a part. */
function runs(name, index, part) {
  try {
    return instantiate().run_part(index, part);
  } catch (error) {
    throw new Error(`${name}, part ${part}: ${said}`, { cause: error });
  }
}

function instantiate() {
  const { exports } = new WebAssembly.Instance(module, { page: { panics, report } });
  const { memory, call, __stack_pointer: stack } = exports;
  return exports;

  function panics(closure) {
    const top = stack.value;
    try {
      call(closure);
      return 0;
    } catch {
      // What trapped has not given its stack back.
      stack.value = top;
      return 1;
    }
  }

  function report(text, length) {
    said = new TextDecoder().decode(new Uint8Array(memory.buffer, text, length));
  }
}
