// Ends a fuzzer whose case does not come back: a loop in the code under test has no other end.
/// <reference lib="deno.worker" />

/** Main → watcher, once. The first word of `progress` is the index of the case that runs, -1 when none does. */
export interface Watch {
  readonly progress: SharedArrayBuffer;
  readonly seconds: number;
  readonly what: string;
}

const scope: { onmessage: ((event: MessageEvent<Watch>) => void) | null } =
  globalThis;

scope.onmessage = ({ data }) => {
  const { progress, seconds, what } = data;
  const words = new Int32Array(progress);
  let seen = Atomics.load(words, 0);
  setInterval(() => {
    const now = Atomics.load(words, 0);
    if (now === seen && now >= 0) {
      const text = `${what} --case ${now}: no end within ${seconds} s\n`;
      Deno.stderr.writeSync(new TextEncoder().encode(text));
      // Deno.exit() would end this worker only.
      Deno.kill(Deno.pid, "SIGKILL");
    }
    seen = now;
  }, seconds * 1000);
};
