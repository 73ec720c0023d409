// Thread: main
// Parts of files that another process handed over, laid over one SharedArrayBuffer: workers without FFI see them.
import { HostError, SysError } from "../errors.ts";
import type { Fd } from "../sys/fd.ts";
import { check, errno, libc } from "../sys/libc.ts";
import {
  MADV_DONTDUMP,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NORESERVE,
  MAP_SHARED,
  PROT_READ_WRITE,
  SEEK_END,
} from "../sys/linux.ts";

/** Files of huge pages are mapped at multiples of them only. */
const ALIGN = 2 * 1024 * 1024;

export interface FilePart {
  readonly fd: Fd;
  /** Of the part in the file; a multiple of 4096. */
  readonly offset: number;
  readonly size: number;
}

/** Owns the mapping, not the files. Keep it in a live object: V8 frees a buffer that nobody holds. */
export class FileMapping implements Disposable {
  readonly buffer: SharedArrayBuffer;
  /** Where the first part starts in the buffer. */
  readonly byteOffset: number;
  /** Bytes from there to the end of the last part, with the gaps between parts. */
  readonly size: number;
  /** Where each part starts, counted from `byteOffset`. */
  readonly offsets: readonly number[];
  readonly #start: Deno.PointerObject;
  #closed = false;

  /** Throws a SysError for what cannot be mapped, a RangeError for a file that is shorter than its part. */
  constructor(parts: readonly FilePart[]) {
    let size = 0;
    this.offsets = parts.map((part) => {
      const offset = Math.ceil(size / ALIGN) * ALIGN;
      size = offset + part.size;
      return offset;
    });
    this.size = size;
    this.buffer = allocate(size + ALIGN);
    const base = addressOf(new Uint8Array(this.buffer));
    this.byteOffset = (ALIGN - base % ALIGN) % ALIGN;
    const start = Deno.UnsafePointer.of(
      new Uint8Array(this.buffer, this.byteOffset, size),
    );
    if (start === null) throw new HostError("A mapping has no address");
    this.#start = start;
    try {
      parts.forEach((part, i) => this.#map(part, this.offsets[i]!));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #map({ fd, offset, size }: FilePart, at: number): void {
    // A page behind the file's end would end the process at its first touch.
    const end = Number(libc.lseek(fd.fd, 0n, SEEK_END));
    check("lseek", end);
    if (end < offset + size) {
      throw new RangeError(
        `a file of ${end} bytes, of which ${offset + size} are to be mapped`,
      );
    }
    this.#mmap(at, size, MAP_SHARED, fd.fd, offset);
    const address = Deno.UnsafePointer.offset(this.#start, at);
    libc.madvise(address, BigInt(size), MADV_DONTDUMP);
  }

  /** SAFETY: [start + at, start + at + size) lies inside `buffer`, which this object keeps alive. */
  #mmap(
    at: number,
    size: number,
    flags: number,
    fd: number,
    offset: number,
  ): void {
    const target = Deno.UnsafePointer.offset(this.#start, at);
    const result = libc.mmap(
      target,
      BigInt(size),
      PROT_READ_WRITE,
      flags | MAP_FIXED | MAP_NORESERVE,
      fd,
      BigInt(offset),
    );
    if (result !== null && Deno.UnsafePointer.equals(result, target)) return;
    throw new SysError("mmap", errno());
  }

  /**
   * Gives the pages back. Empty memory takes their place: a view that is left somewhere stays harmless. It is shared,
   * since private memory would count against RLIMIT_DATA for as long as V8 keeps the buffer.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#mmap(0, this.size, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function addressOf(bytes: Uint8Array<SharedArrayBuffer>): number {
  return Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes)));
}

function allocate(size: number): SharedArrayBuffer {
  try {
    return new SharedArrayBuffer(size);
  } catch (cause) {
    throw new HostError(`No address space for ${size} bytes`, { cause });
  }
}
