// Thread: any
// Interrupt requests of workers without FFI: a bit a device, taken by the irq worker.

export const DOORBELL = 0;
export const WAITING = 1;
export const PENDING = 2; // one bit a device
const WORDS = 3;

export type Words = Int32Array<SharedArrayBuffer>;

export function createIrqPage(): SharedArrayBuffer {
  return new SharedArrayBuffer(WORDS * 4);
}

/** Asks for an edge on a device's interrupt line. */
export function requestInterrupt(words: Words, device: number): void {
  Atomics.or(words, PENDING, 1 << device);
  ring(words);
}

/** Ends the irq worker. Its flag is on no page that a device has. */
export function closeIrqWorker(words: Words, closed: Words): void {
  Atomics.store(closed, 0, 1);
  ring(words);
}

function ring(words: Words): void {
  Atomics.add(words, DOORBELL, 1);
  if (Atomics.load(words, WAITING) !== 0) Atomics.notify(words, DOORBELL);
}
