// Thread: any
// Interrupt requests of workers without FFI: a bit a device, taken by the irq worker.

export const DOORBELL = 0;
export const WAITING = 1;
export const PENDING = 2; // one bit a device
export const CLOSED = 3;
const WORDS = 4;

export type Words = Int32Array<SharedArrayBuffer>;

export function createIrqPage(): SharedArrayBuffer {
  return new SharedArrayBuffer(WORDS * 4);
}

/** Asks for an edge on a device's interrupt line. */
export function requestInterrupt(words: Words, device: number): void {
  Atomics.or(words, PENDING, 1 << device);
  ring(words);
}

/** Ends the irq worker. */
export function closeIrqPage(words: Words): void {
  Atomics.store(words, CLOSED, 1);
  ring(words);
}

function ring(words: Words): void {
  Atomics.add(words, DOORBELL, 1);
  if (Atomics.load(words, WAITING) !== 0) Atomics.notify(words, DOORBELL);
}
