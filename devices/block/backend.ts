// The block device's file: positional reads and writes straight from and to the driver's buffers.
import {
  closeSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  writeSync,
} from "node:fs";
import type { ChainReader, ChainWriter } from "../../core/plugin.ts";

const ZEROES = new Uint8Array(1 << 20);

/** An open raw image. Methods return false where the host could not; none throws for that. */
export class DiskFile {
  /** Bytes, whole sectors of 512. */
  readonly size: number;
  readonly #fd: number;

  constructor(path: string, writable: boolean) {
    this.#fd = openSync(path, writable ? "r+" : "r");
    this.size = Math.floor(fstatSync(this.#fd).size / 512) * 512;
  }

  /** Reads `length` bytes at `at` into the chain. A file that was cut meanwhile is an error, not zeros. */
  read(into: ChainWriter, at: number, length: number): boolean {
    return this.#transfer(into, at, length, readSync);
  }

  /** Writes `length` bytes from the chain at `at`. */
  write(from: ChainReader, at: number, length: number): boolean {
    return this.#transfer(from, at, length, writeSync);
  }

  #transfer(
    chain: ChainReader | ChainWriter,
    at: number,
    length: number,
    call: (
      fd: number,
      buffer: Uint8Array,
      offset: number,
      length: number,
      position: number,
    ) => number,
  ): boolean {
    try {
      // SAFETY: readSync and writeSync stay inside [offset, offset + size), and return at most `size`.
      const done = chain.unsafeEachPiece(length, (ram, offset, size) => {
        let moved = 0;
        while (moved < size) {
          const count = call(
            this.#fd,
            ram,
            offset + moved,
            size - moved,
            at + moved,
          );
          if (count === 0) break;
          moved += count;
        }
        at += moved;
        return moved;
      });
      return done === length;
    } catch {
      return false;
    }
  }

  zero(at: number, length: number): boolean {
    try {
      for (let done = 0; done < length;) {
        const size = Math.min(length - done, ZEROES.length);
        const count = writeSync(this.#fd, ZEROES, 0, size, at + done);
        if (count === 0) return false;
        done += count;
      }
      return true;
    } catch {
      return false;
    }
  }

  /** Returns when everything that was written is on the disk. */
  flush(): boolean {
    try {
      fsyncSync(this.#fd);
      return true;
    } catch {
      return false;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}
