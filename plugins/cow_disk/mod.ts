// A disk (virtio-v1.3 §5.2) that shows a file and never changes it: what the guest writes stays in memory, and is gone
// when the VM ends.
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import {
  type ChainReader,
  type ChainWriter,
  defineDevice,
} from "@paddock/paddock/plugin";

const SECTOR = 512;
/** The unit of copying: a page, which is what Linux writes. */
const BLOCK = 4096;

const VIRTIO_BLK_T_IN = 0;
const VIRTIO_BLK_T_OUT = 1;
const VIRTIO_BLK_T_FLUSH = 4;
const VIRTIO_BLK_S_OK = 0;
const VIRTIO_BLK_S_IOERR = 1;
const VIRTIO_BLK_S_UNSUPP = 2;

export default defineDevice({
  id: 2, // block: Linux has it as /dev/vda
  features: { VIRTIO_BLK_F_SEG_MAX: 2, VIRTIO_BLK_F_FLUSH: 9 },
  queues: { requestq: 128 },
  config: { capacity: "u64", size_max: "u32", seg_max: "u32" },
  options: {
    path: { type: "path", description: "the file that the disk shows" },
    maxMemory: {
      type: "size",
      min: BLOCK,
      max: 2 ** 36,
      step: BLOCK,
      default: "64M",
      description: "the most memory for what the guest writes",
    },
  },
  permissions: { read: [{ option: "path" }] },
  create({ options, updateConfig, log }) {
    const disk = new Overlay(options.path, options.maxMemory / BLOCK);
    updateConfig({ capacity: disk.size / SECTOR, seg_max: 126 });
    return {
      queues: {
        // struct virtio_blk_req (§5.2.6): a header, data one way or the other, and a last byte for the status.
        requestq({ readable, writable, capacity }) {
          if (capacity === 0) return 0;
          const type = readable.u32();
          readable.u32(); // reserved
          const at = readable.u64() * SECTOR;
          let status = VIRTIO_BLK_S_OK;
          try {
            if (type === VIRTIO_BLK_T_IN) disk.read(writable, at, capacity - 1);
            else if (type === VIRTIO_BLK_T_OUT) disk.write(readable, at);
            // A flush has nothing to do: the file never changes.
            else if (type !== VIRTIO_BLK_T_FLUSH) status = VIRTIO_BLK_S_UNSUPP;
          } catch (error) {
            log(`${error}`);
            status = VIRTIO_BLK_S_IOERR;
          }
          writable.skip(writable.remaining - 1);
          writable.u8(status);
          return status === VIRTIO_BLK_S_OK ? capacity : 0;
        },
      },
      close: () => disk.close(),
    };
  },
});

/** A file, and on top of it the blocks that were written. */
class Overlay {
  /** Bytes, whole sectors. */
  readonly size: number;
  readonly #fd: number;
  readonly #mostBlocks: number;
  readonly #written = new Map<number, Uint8Array>();
  readonly #scratch = new Uint8Array(BLOCK);

  constructor(path: string, mostBlocks: number) {
    this.#fd = openSync(path, "r");
    this.#mostBlocks = mostBlocks;
    this.size = Math.floor(fstatSync(this.#fd).size / SECTOR) * SECTOR;
  }

  read(into: ChainWriter, at: number, length: number): void {
    for (const { block, from, to } of this.#pieces(at, length)) {
      const bytes = this.#written.get(block) ??
        this.#load(block, this.#scratch);
      into.write(bytes.subarray(from, to));
    }
  }

  /** Writes all of it or, where memory is used up, nothing. */
  write(source: ChainReader, at: number): void {
    const length = source.remaining;
    let blocks = this.#written.size;
    for (const { block } of this.#pieces(at, length)) {
      if (!this.#written.has(block)) blocks++;
    }
    if (blocks > this.#mostBlocks) {
      throw new Error("What was written fills the memory; raise maxMemory");
    }
    for (const { block, from, to } of this.#pieces(at, length)) {
      const bytes = this.#written.get(block) ??
        this.#load(block, new Uint8Array(BLOCK));
      source.read(bytes.subarray(from, to));
      this.#written.set(block, bytes);
    }
  }

  /** The parts of blocks that a range of the disk touches. */
  *#pieces(at: number, length: number) {
    if (length % SECTOR !== 0 || at + length > this.size) {
      throw new RangeError(`${length} bytes at ${at} are not on the disk`);
    }
    for (const end = at + length; at < end;) {
      const from = at % BLOCK;
      const to = Math.min(BLOCK, from + end - at);
      yield { block: (at - from) / BLOCK, from, to };
      at += to - from;
    }
  }

  /** Reads a block of the file; the last one may be shorter. */
  #load(block: number, into: Uint8Array): Uint8Array {
    const at = block * BLOCK;
    const wanted = Math.min(BLOCK, this.size - at);
    for (let done = 0; done < wanted;) {
      const count = readSync(this.#fd, into, done, wanted - done, at + done);
      if (count === 0) throw new Error("The file was cut meanwhile");
      done += count;
    }
    return into;
  }

  close(): void {
    closeSync(this.#fd);
  }
}
