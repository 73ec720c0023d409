// Thread: queue
// A descriptor chain as a device sees it: bounded cursors over the driver's buffers.
import { DriverError } from "../errors.ts";
import type { RamView } from "./ram_view.ts";

/** A cursor over the readable or the writable part of a chain. It cannot leave it. */
class Cursor {
  protected readonly ram: RamView;
  protected offsets: Float64Array;
  protected lengths: Uint32Array;
  protected segment = 0;
  protected within = 0;
  /** Bytes that are left. */
  remaining = 0;

  constructor(ram: RamView, offsets: Float64Array, lengths: Uint32Array) {
    this.ram = ram;
    this.offsets = offsets;
    this.lengths = lengths;
  }

  /** @ignore For the chain: its segments are in longer arrays from now on. */
  moveTo(offsets: Float64Array, lengths: Uint32Array): void {
    this.offsets = offsets;
    this.lengths = lengths;
  }

  /** @ignore For the queue: starts over on `bytes` bytes from a segment on. */
  reset(segment: number, bytes: number): void {
    this.segment = segment;
    this.within = 0;
    this.remaining = bytes;
  }

  /**
   * Walks the next `length` bytes in the driver's pieces. `visit` gets all of RAM, and the piece's offset and length
   * in it: no view is made a piece. It returns how many bytes it handled; fewer than asked ends the walk.
   * Returns the bytes handled. SAFETY: `visit` must stay inside [offset, offset + length).
   */
  unsafeEachPiece(
    length: number,
    visit: (ram: Uint8Array, offset: number, length: number) => number,
  ): number {
    let done = 0;
    const goal = Math.min(length, this.remaining);
    while (done < goal) {
      const left = this.lengths[this.segment]! - this.within;
      if (left === 0) {
        this.#nextSegment();
        continue;
      }
      const piece = Math.min(left, goal - done);
      const handled = visit(
        this.ram.bytes,
        this.offsets[this.segment]! + this.within,
        piece,
      );
      this.within += handled;
      this.remaining -= handled;
      done += handled;
      if (handled < piece) break;
    }
    return done;
  }

  /** The next bytes, at most `length`, as views over the driver's buffers, without moving on. */
  views(length = this.remaining): Uint8Array[] {
    const views: Uint8Array[] = [];
    const { segment, within, remaining } = this;
    this.unsafeEachPiece(length, (ram, offset, size) => {
      views.push(ram.subarray(offset, offset + size));
      return size;
    });
    this.segment = segment;
    this.within = within;
    this.remaining = remaining;
    return views;
  }

  /** Passes over `length` bytes, or as many as are left. */
  skip(length: number): void {
    // A negative length must not lead out of the chain, behind its end.
    let left = Math.max(0, Math.min(length, this.remaining));
    this.remaining -= left;
    while (left > 0) {
      const piece = Math.min(left, this.lengths[this.segment]! - this.within);
      this.within += piece;
      left -= piece;
      if (left > 0) this.#nextSegment();
    }
  }

  #nextSegment(): void {
    this.segment++;
    this.within = 0;
  }

  /** Where the next byte is in RAM; passes over it. For headers, byte by byte, so that nothing is allocated. */
  protected takeByte(): number {
    while (this.within === this.lengths[this.segment]!) this.#nextSegment();
    this.remaining--;
    return this.offsets[this.segment]! + this.within++;
  }
}

/** Reads what the driver wrote for the device. Each byte should be read once: the driver can change it meanwhile. */
export class ChainReader extends Cursor {
  /** Copies the next `into.length` bytes; throws a DriverError when the chain is shorter. */
  read(into: Uint8Array): void {
    this.#need(into.length);
    let at = 0;
    this.unsafeEachPiece(into.length, (ram, offset, length) => {
      into.set(ram.subarray(offset, offset + length), at);
      at += length;
      return length;
    });
  }

  /** The next byte. As the others do, it throws a DriverError when the chain is shorter. */
  u8(): number {
    this.#need(1);
    return this.#byte();
  }
  /** The next two bytes, little-endian. */
  u16(): number {
    this.#need(2);
    return this.#byte() | (this.#byte() << 8);
  }
  /** The next four bytes. */
  u32(): number {
    this.#need(4);
    const low = this.#byte() | (this.#byte() << 8) | (this.#byte() << 16);
    return (low | (this.#byte() << 24)) >>> 0;
  }
  /** A u64 as a number; above 2^53 it is rounded, so compare it with a limit before use. */
  u64(): number {
    this.#need(8);
    return this.u32() + this.u32() * 2 ** 32;
  }

  #byte(): number {
    return this.ram.bytes[this.takeByte()]!;
  }

  #need(length: number): void {
    if (length <= this.remaining) return;
    throw new DriverError(
      "2.7.4",
      `Driver: chain ends ${
        length - this.remaining
      } bytes before the request does`,
    );
  }
}

/** Writes what the driver is to read. */
export class ChainWriter extends Cursor {
  /** Copies as many of `bytes` as there is room for, and returns how many that were. */
  write(bytes: Uint8Array): number {
    let at = 0;
    return this.unsafeEachPiece(bytes.length, (ram, offset, length) => {
      ram.set(bytes.subarray(at, at + length), offset);
      at += length;
      return length;
    });
  }

  /** Writes one byte, if there is room. */
  u8(value: number): void {
    if (this.remaining > 0) this.ram.bytes[this.takeByte()] = value;
  }

  /** Fills the next `length` bytes, or as many as are left, with `value`. */
  fill(value: number, length: number): number {
    return this.unsafeEachPiece(length, (ram, offset, size) => {
      ram.fill(value, offset, offset + size);
      return size;
    });
  }
}

const FIRST_SEGMENTS = 8;
/** Where the specification says what a chain may be: readable before writable, 2^32 bytes in all. */
const SPLIT_CHAIN: { readonly order: string; readonly length: string } = {
  order: "2.7.4.2",
  length: "2.7.5",
};

/** One request: first what the device may read, then what it may write (virtio-v1.3 §2.7.4.2). Reused once it is given back. */
export class DescriptorChain {
  /** Its number in the ring: below the queue's size, and no other chain's while the device has this one. */
  readonly head: number;
  /** What the driver wrote for the device. */
  readonly readable: ChainReader;
  /** Room for the device's answer. */
  readonly writable: ChainWriter;
  /** Bytes of the writable part. */
  get capacity(): number {
    return this.#writableBytes;
  }
  /** @ignore For a packed queue: descriptors that the chain takes in the ring. */
  slots = 1;
  /** @ignore For the queue: taken by the device. */
  inFlight = false;
  /** @ignore For the queue: taken back from the device, which may not have heard of it. */
  revoked = false;
  #offsets = new Float64Array(FIRST_SEGMENTS);
  #lengths = new Uint32Array(FIRST_SEGMENTS);
  #count = 0;
  #readableCount = 0;
  #readableBytes = 0;
  #writableBytes = 0;

  readonly #sections: typeof SPLIT_CHAIN;

  /** @ignore For the queue. `sections` are those of its format. */
  constructor(
    ram: RamView,
    head: number,
    sections: typeof SPLIT_CHAIN = SPLIT_CHAIN,
  ) {
    this.head = head;
    this.#sections = sections;
    this.readable = new ChainReader(ram, this.#offsets, this.#lengths);
    this.writable = new ChainWriter(ram, this.#offsets, this.#lengths);
  }

  /** @ignore For the queue. */
  begin(): void {
    this.#count =
      this.#readableCount =
      this.#readableBytes =
      this.#writableBytes =
        0;
  }

  /**
   * @ignore For the queue: adds a checked buffer. Throws a DriverError for what the specification forbids.
   * Small, so that V8 inlines it everywhere and makes no heap number of the offset.
   */
  add(offset: number, length: number, isWritable: boolean): void {
    const at = this.#take(length, isWritable);
    this.#offsets[at] = offset;
  }

  /** A segment's place. */
  #take(length: number, isWritable: boolean): number {
    if (this.#readableBytes + this.#writableBytes + length > 0xffff_ffff) {
      this.#refuseLength();
    }
    const at = this.#count++;
    if (at === this.#lengths.length) this.#grow();
    this.#lengths[at] = length;
    if (isWritable) {
      this.#writableBytes += length;
    } else {
      if (at > this.#readableCount) this.#refuseOrder();
      this.#readableCount++;
      this.#readableBytes += length;
    }
    return at;
  }

  #refuseLength(): never {
    throw new DriverError(
      this.#sections.length,
      "Driver: chain is longer than 2^32 bytes",
    );
  }

  #refuseOrder(): never {
    throw new DriverError(
      this.#sections.order,
      "Driver: readable descriptor after a writable one",
    );
  }

  /** @ignore For the queue. */
  finish(): void {
    this.readable.reset(0, this.#readableBytes);
    this.writable.reset(this.#readableCount, this.#writableBytes);
  }

  /** @ignore For the queue: the driver has its buffers back, so nothing is left for a device that held on to this. */
  revoke(): void {
    this.revoked = true;
    this.begin();
    this.finish();
  }

  /** Starts both cursors over. */
  rewind(): void {
    this.finish();
  }

  #grow(): void {
    const offsets = new Float64Array(this.#offsets.length * 4);
    const lengths = new Uint32Array(this.#lengths.length * 4);
    offsets.set(this.#offsets);
    lengths.set(this.#lengths);
    this.#offsets = offsets;
    this.#lengths = lengths;
    this.readable.moveTo(offsets, lengths);
    this.writable.moveTo(offsets, lengths);
  }
}
