// Thread: any
// A turn for whatever else waits in this thread's event loop.

/** Resolves after messages and timers that are due had their turn: 4 µs, where `setTimeout` takes 2 ms. */
export function nextTask(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
