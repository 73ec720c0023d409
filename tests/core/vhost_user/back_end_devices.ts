// Devices that the tests of the back end serve, and a buffer for their answers.
import { builtIn, inlineModule } from "../../support/fake_machine.ts";

export const rng = { module: builtIn("rng"), options: { maxBytes: 65536 } };

/** Writes its number into each request, and gives it back `ms` later. */
export const SLOW = inlineModule(`{
  id: 7,
  queues: { q: 16, other: 16 },
  create({ options, log }) {
    let count = 0;
    const serve = async ({ writable }) => {
      const written = writable.write(new Uint8Array([++count]));
      await new Promise((go) => setTimeout(go, options.ms));
      return written;
    };
    return {
      queues: { q: serve, other: serve },
      activate: () => log("activate"),
      reset: () => log("reset"),
    };
  },
}`);

/** A buffer that a device writes to. */
export const answer = { at: 0x8000, length: 16, write: true };
