// Thread: vcpu
// One guest access: served here when it is a hot register, the serial port or unassigned, else by mailbox.
import { findRange } from "../bus/address_space.ts";
import type { Mailbox } from "../bus/mailbox.ts";
import type { SerialPort } from "../bus/serial.ts";
import {
  parkWhilePaused,
  RUN_STATE,
  RUNNING,
  slotOf,
  UNASSIGNED,
  type Words,
} from "../bus/vm_page.ts";
import {
  DRIVER_OK,
  FAILED,
  VIRTIO_MMIO_INTERRUPT_ACK,
  VIRTIO_MMIO_INTERRUPT_STATUS,
  VIRTIO_MMIO_QUEUE_NOTIFY,
} from "../virtio/constants.ts";
import {
  INTERRUPT_STATUS,
  kickQueue,
  NOTIFY_MASK,
  QUEUE_COUNT,
  STATUS,
} from "../virtio/device_page.ts";
import type { VcpuRange } from "./messages.ts";

// How long a full transmit ring is left to main before the byte is tried again.
const SERIAL_RETRY_MS = 1;

export interface AccessOptions {
  readonly vcpu: number;
  readonly words: Words;
  readonly mailbox: Mailbox;
  readonly serial: SerialPort;
  readonly devices: readonly Words[];
  readonly views: readonly [
    mmio: readonly VcpuRange[],
    pio: readonly VcpuRange[],
  ];
}

/** Decides where an access goes. Data is in `low` and `high`; nothing here allocates. */
export class AccessRouter {
  low = 0;
  high = 0;
  readonly #words: Words;
  readonly #unassigned: number;
  readonly #mailbox: Mailbox;
  readonly #serial: SerialPort;
  readonly #devices: readonly Words[];
  readonly #views: AccessOptions["views"];
  // Accesses come in runs to one device: the last range is looked at first.
  readonly #last: [VcpuRange | null, VcpuRange | null] = [null, null];

  constructor(options: AccessOptions) {
    this.#words = options.words;
    this.#unassigned = slotOf(options.vcpu) + UNASSIGNED;
    this.#mailbox = options.mailbox;
    this.#serial = options.serial;
    this.#devices = options.devices;
    this.#views = options.views;
  }

  /** Serves an access of `length` bytes in space 0 (MMIO) or 1 (port I/O). False when the VM stopped meanwhile. */
  access(
    space: 0 | 1,
    address: number,
    length: number,
    isWrite: number,
  ): boolean {
    let range = this.#last[space];
    if (range === null || address < range.start || address >= range.end) {
      range = findRange(this.#views[space], address);
      if (range === null) return this.#accessUnassigned();
      this.#last[space] = range;
    }
    const inline = range.inline;
    if (inline !== null) {
      const offset = address - range.start + range.offset;
      if (inline.kind === "serial") {
        return this.#accessSerial(offset, length, isWrite);
      }
      if (
        length === 4 &&
        this.#accessHot(this.#devices[inline.device]!, offset, isWrite)
      ) return true;
    }
    return this.#mail(space, address, length, isWrite);
  }

  #accessUnassigned(): boolean {
    this.low = this.high = 0xffff_ffff;
    this.#words[this.#unassigned]! += 1;
    return true;
  }

  /** InterruptStatus, InterruptACK and QueueNotify; false for any other register. */
  #accessHot(page: Words, offset: number, isWrite: number): boolean {
    if (isWrite === 0) {
      if (offset !== VIRTIO_MMIO_INTERRUPT_STATUS) return false;
      this.low = Atomics.load(page, INTERRUPT_STATUS);
      this.high = 0;
      return true;
    }
    if (offset === VIRTIO_MMIO_QUEUE_NOTIFY) {
      const queue = (this.low & page[NOTIFY_MASK]!) >>> 0;
      // A queue that does not exist, or a device that is not live: the transport says what is wrong.
      if (queue >= page[QUEUE_COUNT]!) return false;
      if ((page[STATUS]! & (DRIVER_OK | FAILED)) !== DRIVER_OK) return false;
      kickQueue(page, queue);
      return true;
    }
    if (offset === VIRTIO_MMIO_INTERRUPT_ACK) {
      if (this.low & ~3) return false;
      Atomics.and(page, INTERRUPT_STATUS, ~this.low);
      return true;
    }
    return false;
  }

  #accessSerial(offset: number, length: number, isWrite: number): boolean {
    if (isWrite === 0) {
      this.low = this.high = 0xffff_ffff;
      this.low = (this.low & ~0xff) | this.#serial.read(offset);
      return true;
    }
    for (let i = 0; i < length && offset + i < 8; i++) {
      const byte =
        (i < 4 ? this.low >>> (8 * i) : this.high >>> (8 * (i - 4))) & 0xff;
      while (!this.#serial.write(offset + i, byte)) {
        if (!this.#waitForSerial()) return false;
      }
    }
    return true;
  }

  /** The transmit ring is full until main takes some of it. False when the VM stopped. */
  #waitForSerial(): boolean {
    const state = Atomics.load(this.#words, RUN_STATE);
    if (state !== RUNNING) return parkWhilePaused(this.#words);
    Atomics.wait(this.#words, RUN_STATE, RUNNING, SERIAL_RETRY_MS);
    return true;
  }

  #mail(
    space: 0 | 1,
    address: number,
    length: number,
    isWrite: number,
  ): boolean {
    const mailbox = this.#mailbox;
    mailbox.low = this.low;
    mailbox.high = this.high;
    const high = Math.floor(address / 2 ** 32);
    const done = mailbox.access(space, address | 0, high, length, isWrite);
    this.low = mailbox.low;
    this.high = mailbox.high;
    return done;
  }
}
