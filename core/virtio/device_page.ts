// Thread: any
// A device's shared page: what its vCPUs, the transport on main and its queue worker tell each other without messages.

/** Words of the page. */
export const INTERRUPT_STATUS = 0;
export const STATUS = 1; // the driver's bits by main; DEVICE_NEEDS_RESET by the worker too
export const CONFIG_GENERATION = 2; // odd while the worker changes the configuration space
export const DOORBELL = 3; // counts kicks and commands
export const WAITING = 4; // 1 while the worker waits on DOORBELL and wants a notify
export const KICKED = 5; // one bit a queue
export const COMMAND = 6;
export const COMMAND_SEQ = 7; // main adds one for each command; the rings' epoch
export const ACK_SEQ = 8; // the worker stores COMMAND_SEQ when the command is done
export const ACK_RESULT = 9; // 0, or 1 when the device could not
export const ARGUMENT = 10; // config write: offset, size, value
export const QUEUE_COUNT = 13; // 0 until the declaration is accepted, CUT_OFF once main gave the device up
export const DRIVER_FEATURES = 14; // two words
export const NOTIFY_MASK = 16; // bits of QueueNotify that are the queue's number
const QUEUES = 20;
const WORDS_PER_QUEUE = 9;

/** Words of one queue, relative to {@linkcode queueWord}. */
export const QUEUE_SIZE = 0;
export const QUEUE_READY = 1;
export const QUEUE_DESC = 2; // low, high
export const QUEUE_DRIVER = 4;
export const QUEUE_DEVICE = 6;
export const QUEUE_POSITION = 8; // a RingPosition: where the ring goes on, 0 for one that begins

/** One bit a queue in KICKED. */
export const MAX_QUEUES = 31;
const CONFIG_BYTE = (QUEUES + MAX_QUEUES * WORDS_PER_QUEUE) * 4;
/** Bytes of device-specific configuration space that a device may have. */
export const MAX_CONFIG = 1024;

/** Values of COMMAND. */
export const ACTIVATE = 1; // DRIVER_OK: the rings are yours
export const RESET = 2; // stop, forget the rings; nothing is written to guest RAM after the ack
export const REVOKE = 3; // QueueReady=0 of one queue while live: as RESET for ARGUMENT's queue
export const WRITE_CONFIG = 4;
export const CLOSE = 5;
export const ENABLE = 6; // QueueReady=1 of ARGUMENT's queue while live
export const PAUSE = 7; // finish what is in flight, start nothing
export const RESUME = 8;
export const DRAIN = 9; // as REVOKE, but what is in flight is given back first, and QUEUE_POSITION tells how far it came

/** Value of QUEUE_COUNT: no kick gets through, and a worker that is only late ends. */
export const CUT_OFF = -1;

export type Words = Int32Array<SharedArrayBuffer>;

export function createDevicePage(): SharedArrayBuffer {
  const page = new SharedArrayBuffer(CONFIG_BYTE + MAX_CONFIG);
  wordsOf(page)[NOTIFY_MASK] = -1;
  return page;
}

export function wordsOf(page: SharedArrayBuffer): Words {
  return new Int32Array(page, 0, CONFIG_BYTE / 4);
}

export function configOf(
  page: SharedArrayBuffer,
): Uint8Array<SharedArrayBuffer> {
  return new Uint8Array(page, CONFIG_BYTE, MAX_CONFIG);
}

export function queueWord(queue: number, word: number): number {
  return QUEUES + queue * WORDS_PER_QUEUE + word;
}

/** Whether the driver accepted this feature bit. */
export function isNegotiated(words: Words, bit: number): boolean {
  return ((words[DRIVER_FEATURES + (bit >>> 5)]! >>> (bit & 31)) & 1) === 1;
}

/** Whether main gave the device up. */
export function isCutOff(words: Words): boolean {
  return Atomics.load(words, QUEUE_COUNT) === CUT_OFF;
}

/** Wakes the device's worker if it waits. */
export function ringDevice(words: Words): void {
  Atomics.add(words, DOORBELL, 1);
  if (Atomics.load(words, WAITING) !== 0) Atomics.notify(words, DOORBELL);
}

/** A kick of one queue. It stays until the worker takes it: one before DRIVER_OK is not lost. */
export function kickQueue(words: Words, queue: number): void {
  Atomics.or(words, KICKED, 1 << queue);
  ringDevice(words);
}
