// Thread: any
// The VM's shared control page: run state, the core event loop's doorbell, and one mailbox a vCPU.

/** Words of the page's head. */
export const DOORBELL = 0; // counts rings of the core event loop
export const RUN_STATE = 1;
export const PARKED = 2; // vCPU workers that have seen PAUSED or have not started
const HEAD = 16;

/** Values of RUN_STATE. */
export const RUNNING = 0;
export const PAUSED = 1;
export const STOPPED = 2;

/** Words of one vCPU's slot. The first eight are its mailbox. */
export const STATE = 0;
export const SPACE = 1;
export const IS_WRITE = 2;
export const LENGTH = 3;
export const ADDRESS_LOW = 4;
export const ADDRESS_HIGH = 5;
export const DATA_LOW = 6;
export const DATA_HIGH = 7;
export const EXITS = 8;
export const UNASSIGNED = 9;
export const MAILED = 10;
const SLOT = 16;

/** Values of STATE. */
export const FREE = 0;
export const REQUESTED = 1;
export const SERVED = 2;

/** Values of SPACE. */
export const MMIO = 0;
export const PIO = 1;

export type Words = Int32Array<SharedArrayBuffer>;

export function createVmPage(vcpus: number): SharedArrayBuffer {
  return new SharedArrayBuffer((HEAD + SLOT * vcpus) * 4);
}

/** Index of the first word of a vCPU's slot. */
export function slotOf(vcpu: number): number {
  return HEAD + SLOT * vcpu;
}

const PARK_MS = 1000;

/** vCPU side: waits while the VM is paused, counted as parked. False when it stopped. */
export function parkWhilePaused(words: Words): boolean {
  Atomics.add(words, PARKED, 1);
  Atomics.notify(words, PARKED);
  while (Atomics.load(words, RUN_STATE) === PAUSED) {
    Atomics.wait(words, RUN_STATE, PAUSED, PARK_MS);
  }
  Atomics.sub(words, PARKED, 1);
  return Atomics.load(words, RUN_STATE) !== STOPPED;
}

/** Wakes the core event loop. */
export function ringDoorbell(words: Words): void {
  Atomics.add(words, DOORBELL, 1);
  Atomics.notify(words, DOORBELL);
}
