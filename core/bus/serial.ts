// Thread: any
// A 16550A serial port whose state is shared: vCPU workers serve its registers themselves, main moves the bytes.
import type { Words } from "./vm_page.ts";

// Words of the page.
const LOCK = 0;
const IER = 1;
const LCR = 2;
const MCR = 3;
const SCR = 4;
const DLL = 5;
const DLM = 6;
const FCR = 7;
const THRI_PENDING = 8;
const TX_HEAD = 9; // next byte that the guest writes
const TX_TAIL = 10; // next byte that main takes
const RX_HEAD = 11;
const RX_TAIL = 12;
const OVERRUN = 13;
const RX_STARVED = 14; // main waits for room in the receive ring
const HEAD_BYTES = 64;

/** Bytes of each ring; powers of two, so that the counters may wrap. */
export const TX_SIZE = 65536;
export const RX_SIZE = 4096;

// Register bits (PC16550D data sheet, table II).
const IER_RDI = 0x01;
const IER_THRI = 0x02;
const LCR_DLAB = 0x80;
const MCR_LOOP = 0x10;
const LSR_DATA_READY = 0x01;
const LSR_OVERRUN = 0x02;
const LSR_THRE_TEMT = 0x60;
const IIR_NONE = 0x01;
const IIR_THRI = 0x02;
const IIR_RDI = 0x04;
const IIR_FIFO = 0xc0;
const MSR_CTS_DSR_DCD = 0xb0;

export function createSerialPage(): SharedArrayBuffer {
  return new SharedArrayBuffer(HEAD_BYTES + TX_SIZE + RX_SIZE);
}

/** What the port asks of its surroundings; nothing here allocates. */
export interface SerialWiring {
  /** An edge on the port's interrupt line. */
  interrupt(): void;
  /** Main has something to do: bytes to take, or room for bytes to give. */
  wakeMain(): void;
}

export class SerialPort {
  readonly #words: Words;
  readonly #tx: Uint8Array<SharedArrayBuffer>;
  readonly #rx: Uint8Array<SharedArrayBuffer>;
  readonly #wiring: SerialWiring;

  constructor(page: SharedArrayBuffer, wiring: SerialWiring) {
    this.#words = new Int32Array(page, 0, HEAD_BYTES / 4);
    this.#tx = new Uint8Array(page, HEAD_BYTES, TX_SIZE);
    this.#rx = new Uint8Array(page, HEAD_BYTES + TX_SIZE, RX_SIZE);
    this.#wiring = wiring;
  }

  /** vCPU side: reads the register at `offset` 0–7. */
  read(offset: number): number {
    this.#lock();
    const value = this.#read(offset);
    this.#unlock();
    return value;
  }

  /** vCPU side: writes a register. False when the transmit ring is full: wait a little and write again. */
  write(offset: number, value: number): boolean {
    this.#lock();
    const done = this.#write(offset, value & 0xff);
    this.#unlock();
    return done;
  }

  #read(offset: number): number {
    const words = this.#words;
    const dlab = (words[LCR]! & LCR_DLAB) !== 0;
    switch (offset) {
      case 0:
        return dlab ? words[DLL]! : this.#takeReceived();
      case 1:
        return dlab ? words[DLM]! : words[IER]!;
      case 2:
        return this.#identifyInterrupt();
      case 3:
        return words[LCR]!;
      case 4:
        return words[MCR]!;
      case 5:
        return this.#lineStatus();
      case 6:
        return this.#modemStatus();
      default:
        return words[SCR]!;
    }
  }

  #write(offset: number, value: number): boolean {
    const words = this.#words;
    const dlab = (words[LCR]! & LCR_DLAB) !== 0;
    switch (offset) {
      case 0:
        if (!dlab) return this.#transmit(value);
        words[DLL] = value;
        break;
      case 1:
        if (dlab) words[DLM] = value;
        else this.#enableInterrupts(value & 0x0f);
        break;
      case 2:
        words[FCR] = value;
        if (value & 0x02) {
          Atomics.store(words, RX_TAIL, Atomics.load(words, RX_HEAD));
          this.#feed();
        }
        break;
      case 3:
        words[LCR] = value;
        break;
      case 4:
        words[MCR] = value & 0x1f;
        break;
      case 7:
        words[SCR] = value;
        break;
    }
    return true;
  }

  #takeReceived(): number {
    const words = this.#words;
    const tail = Atomics.load(words, RX_TAIL);
    if (tail === Atomics.load(words, RX_HEAD)) return 0;
    const byte = this.#rx[tail & (RX_SIZE - 1)]!;
    Atomics.store(words, RX_TAIL, (tail + 1) | 0);
    this.#feed();
    // Linux takes bytes until LSR says that none is left; an edge for those behind keeps others honest.
    if (
      ((tail + 1) | 0) !== Atomics.load(words, RX_HEAD) &&
      (words[IER]! & IER_RDI)
    ) this.#wiring.interrupt();
    return byte;
  }

  /** There is room: main may have bytes that did not fit. */
  #feed(): void {
    const starved = Atomics.exchange(this.#words, RX_STARVED, 0) === 1;
    if (starved) this.#wiring.wakeMain();
  }

  #transmit(value: number): boolean {
    const words = this.#words;
    if (words[MCR]! & MCR_LOOP) {
      // Interrupts work in loopback too (data sheet, MCR bit 4).
      if (this.#give(value) && words[IER]! & IER_RDI) this.#wiring.interrupt();
      return true;
    }
    const head = Atomics.load(words, TX_HEAD);
    const tail = Atomics.load(words, TX_TAIL);
    if (((head - tail) | 0) >= TX_SIZE) return false;
    this.#tx[head & (TX_SIZE - 1)] = value;
    Atomics.store(words, TX_HEAD, (head + 1) | 0);
    // Main moves the tail, then looks at the head: one of the two sees the other.
    if (Atomics.load(words, TX_TAIL) === head) this.#wiring.wakeMain();
    words[THRI_PENDING] = 1;
    if (words[IER]! & IER_THRI) this.#wiring.interrupt();
    return true;
  }

  #enableInterrupts(value: number): void {
    const words = this.#words;
    const enabled = value & ~words[IER]!;
    words[IER] = value;
    // The transmitter is always empty, so switching its interrupt on raises it (data sheet, IIR).
    if (enabled & IER_THRI) words[THRI_PENDING] = 1;
    if (
      (value & IER_THRI && words[THRI_PENDING]) ||
      (value & IER_RDI && this.#received())
    ) this.#wiring.interrupt();
  }

  #received(): boolean {
    return Atomics.load(this.#words, RX_HEAD) !==
      Atomics.load(this.#words, RX_TAIL);
  }

  #identifyInterrupt(): number {
    const words = this.#words;
    const fifo = words[FCR]! & 1 ? IIR_FIFO : 0;
    if (words[IER]! & IER_RDI && this.#received()) return IIR_RDI | fifo;
    if (words[IER]! & IER_THRI && words[THRI_PENDING]) {
      words[THRI_PENDING] = 0;
      return IIR_THRI | fifo;
    }
    return IIR_NONE | fifo;
  }

  #lineStatus(): number {
    const overrun = this.#words[OVERRUN]! ? LSR_OVERRUN : 0;
    this.#words[OVERRUN] = 0;
    return LSR_THRE_TEMT | overrun | (this.#received() ? LSR_DATA_READY : 0);
  }

  #modemStatus(): number {
    const mcr = this.#words[MCR]!;
    if (!(mcr & MCR_LOOP)) return MSR_CTS_DSR_DCD;
    // In loopback the outputs come back: RTS as CTS, DTR as DSR, OUT1 as RI, OUT2 as DCD.
    return ((mcr & 2) << 3) | ((mcr & 1) << 5) | ((mcr & 4) << 4) |
      ((mcr & 8) << 4);
  }

  #give(byte: number): boolean {
    const words = this.#words;
    const head = Atomics.load(words, RX_HEAD);
    if (((head - Atomics.load(words, RX_TAIL)) | 0) >= RX_SIZE) {
      words[OVERRUN] = 1;
      return false;
    }
    this.#rx[head & (RX_SIZE - 1)] = byte;
    Atomics.store(words, RX_HEAD, (head + 1) | 0);
    return true;
  }

  /** Main side: everything that the guest has written since, or null. */
  takeOutput(): Uint8Array<ArrayBuffer> | null {
    const words = this.#words;
    const head = Atomics.load(words, TX_HEAD);
    const tail = Atomics.load(words, TX_TAIL);
    const length = (head - tail) | 0;
    // The counters are the core's own words: no guest can reach them.
    if (length === 0) return null;
    const bytes = new Uint8Array(length);
    const first = Math.min(length, TX_SIZE - (tail & (TX_SIZE - 1)));
    bytes.set(
      this.#tx.subarray(tail & (TX_SIZE - 1), (tail & (TX_SIZE - 1)) + first),
    );
    bytes.set(this.#tx.subarray(0, length - first), first);
    Atomics.store(words, TX_TAIL, head);
    if (Atomics.load(words, TX_HEAD) !== head) this.#wiring.wakeMain();
    return bytes;
  }

  /** Main side: gives as many bytes to the guest as fit, and returns how many; `wakeMain` follows when there is room. */
  giveInput(bytes: Uint8Array): number {
    const words = this.#words;
    let given = 0;
    this.#lock();
    Atomics.store(words, RX_STARVED, 0);
    const room = () =>
      ((Atomics.load(words, RX_HEAD) - Atomics.load(words, RX_TAIL)) | 0) <
        RX_SIZE;
    while (given < bytes.length && room()) this.#give(bytes[given++]!);
    if (given < bytes.length) Atomics.store(words, RX_STARVED, 1);
    if (given > 0 && words[IER]! & IER_RDI) this.#wiring.interrupt();
    this.#unlock();
    return given;
  }

  // Host code holds it for nanoseconds and never waits inside; so a spin is enough.
  #lock(): void {
    while (Atomics.compareExchange(this.#words, LOCK, 0, 1) !== 0);
  }

  #unlock(): void {
    Atomics.store(this.#words, LOCK, 0);
  }
}
