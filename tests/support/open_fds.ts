// Descriptors of this process, where a test is to leave none behind.
import { assert } from "@std/assert";

const PATIENCE_MS = 10_000;
const LOOK_MS = 30;

const count = () => [...Deno.readDirSync("/proc/self/fd")].length;
const turn = () => new Promise((resolve) => setTimeout(resolve, LOOK_MS));

/** How many are open, once that stays the same: some close when a thread of Deno's has had its turn. */
export async function openFds(): Promise<number> {
  for (;;) {
    const before = count();
    await turn();
    if (count() === before) return before;
  }
}

/** Waits until no more are open than there were. */
export async function closedAgain(before: number): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (count() > before && performance.now() < end) await turn();
  assert(count() <= before, `${before} descriptors became ${count()}`);
}
