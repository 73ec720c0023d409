// Waiting for what must come, with an end.

/** How long a test waits: a loaded host takes its time to start a thread. */
export const PATIENCE_MS = 30_000;
/** Between looks: what comes soon is seen soon, and what takes longer is not slowed down. */
const LOOK_MS = 2;
const SOON_MS = 2000;
const LATER_LOOK_MS = 20;

/** Fails a test that would wait for ever. */
export async function within<T>(
  promise: Promise<T> | T,
  ms = PATIENCE_MS,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing in ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits for a condition; `what` is told where it does not come. */
export async function until(
  condition: () => boolean,
  what: string | (() => string) = "condition",
  ms = PATIENCE_MS,
): Promise<void> {
  const begin = performance.now();
  while (!condition()) {
    const waited = performance.now() - begin;
    if (waited > ms) {
      const missing = typeof what === "string" ? what : what();
      throw new Error(`No ${missing} within ${ms} ms`);
    }
    const pause = waited < SOON_MS ? LOOK_MS : LATER_LOOK_MS;
    await new Promise((next) => setTimeout(next, pause));
  }
}
