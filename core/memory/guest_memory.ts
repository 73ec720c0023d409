// Thread: main
// Guest RAM: a SharedArrayBuffer whose interior is mapped anew, aligned for huge pages, so that KVM and workers
// without FFI see the same pages; as a memfd, which other processes can map too, where that costs nothing.
import { HostError } from "../errors.ts";
import { Fd, readText } from "../sys/fd.ts";
import { check, cString, libc } from "../sys/libc.ts";
import {
  F_ADD_SEALS,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  MADV_DONTDUMP,
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  PROT_READ_WRITE,
} from "../sys/linux.ts";
import { splitRam } from "./ram_map.ts";
import type { RamRegion } from "./ram_map.ts";

// Host and guest addresses must agree modulo 2 MiB, or KVM maps no huge pages.
const HUGE_PAGE = 2 * 1024 * 1024;

/** Whether a memfd may have huge pages. */
export const SHMEM_ENABLED =
  "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

/** What a worker needs to read and write guest RAM; plain data, for postMessage. */
export interface SharedRam {
  readonly buffer: SharedArrayBuffer;
  /** Where RAM starts inside the buffer, in bytes. */
  readonly byteOffset: number;
  readonly size: number;
  /** Where its stretches are for the guest. A gap between them in the buffer is never touched. */
  readonly regions: readonly RamRegion[];
}

/** Owns guest RAM. Keep it in a live object: V8 frees a buffer that only KVM still uses. */
export class GuestMemory implements Disposable {
  readonly size: number;
  readonly regions: readonly RamRegion[];
  readonly shared: SharedRam;
  /** All of RAM, low part first, whatever its guest addresses. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  /** Host address of the first byte. */
  readonly hostAddress: number;
  /** Null where RAM is anonymous memory. */
  readonly memfd: Fd | null;
  readonly #start: Deno.PointerObject;
  #closed = false;

  /**
   * Allocates `size` bytes (a multiple of 4096); nothing is resident until it is touched. `asMemfd` for RAM that another
   * process is to map, whatever that costs.
   */
  constructor(size: number, asMemfd: boolean = memfdHasHugePages()) {
    this.size = size;
    this.regions = splitRam(size);
    const buffer = allocate(size + HUGE_PAGE);
    const base = Deno.UnsafePointer.value(
      Deno.UnsafePointer.of(new Uint8Array(buffer)),
    );
    const byteOffset = Number(
      (BigInt(HUGE_PAGE) - base % BigInt(HUGE_PAGE)) % BigInt(HUGE_PAGE),
    );
    this.shared = { buffer, byteOffset, size, regions: this.regions };
    this.bytes = new Uint8Array(buffer, byteOffset, size);
    const start = Deno.UnsafePointer.of(this.bytes);
    if (start === null) throw new HostError("Guest RAM has no address");
    this.#start = start;
    this.hostAddress = Number(base) + byteOffset;
    this.memfd = asMemfd ? createMemfd(size) : null;
    // SAFETY: [start, start+size) lies inside `buffer`, which this object keeps alive.
    const flags = MAP_FIXED | MAP_NORESERVE;
    if (this.memfd === null) this.#map(flags | MAP_PRIVATE | MAP_ANONYMOUS, -1);
    else this.#map(flags | MAP_SHARED, this.memfd.fd);
    libc.madvise(start, BigInt(size), MADV_HUGEPAGE);
    libc.madvise(start, BigInt(size), MADV_DONTDUMP);
  }

  #map(flags: number, fd: number): void {
    const at = libc.mmap(
      this.#start,
      BigInt(this.size),
      PROT_READ_WRITE,
      flags,
      fd,
      0n,
    );
    if (
      at === null || Deno.UnsafePointer.value(at) !== BigInt(this.hostAddress)
    ) {
      throw new HostError(
        `Guest RAM of ${this.size} bytes cannot be mapped; lower the manifest's memory`,
      );
    }
  }

  /** The `length` bytes of RAM at `gpa`, or null when they are not all in one region. */
  slice(gpa: number, length: number): Uint8Array<SharedArrayBuffer> | null {
    for (const region of this.regions) {
      if (gpa >= region.gpa && gpa + length <= region.gpa + region.size) {
        const offset = gpa - region.gpa + region.offset;
        return this.bytes.subarray(offset, offset + length);
      }
    }
    return null;
  }

  /** Copies `data` to `gpa`; throws a RangeError when it does not fit in RAM there. */
  write(gpa: number, data: Uint8Array): void {
    const target = this.slice(gpa, data.length);
    if (target === null) {
      throw new RangeError(
        `${data.length} bytes at 0x${gpa.toString(16)} are not in guest RAM`,
      );
    }
    target.set(data);
  }

  /** Gives the pages back. Plain memory takes their place: a view that is left somewhere stays harmless. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#map(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1);
    this.memfd?.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function allocate(size: number): SharedArrayBuffer {
  try {
    return new SharedArrayBuffer(size);
  } catch (cause) {
    throw new HostError(
      `No address space for ${size} bytes of guest RAM; lower the manifest's memory`,
      { cause },
    );
  }
}

/**
 * Most hosts give a memfd small pages only (Linux Documentation/admin-guide/mm/transhuge.rst, shmem_enabled); a
 * guest then boots 1.5 times slower than in anonymous memory.
 */
function memfdHasHugePages(): boolean {
  try {
    return !/\[(never|deny)\]/.test(readText(SHMEM_ENABLED));
  } catch {
    return false;
  }
}

function createMemfd(size: number): Fd {
  const memfd = new Fd(
    check(
      "memfd_create",
      libc.memfd_create(
        cString("paddock-ram"),
        MFD_CLOEXEC | MFD_ALLOW_SEALING,
      ),
    ),
  );
  try {
    const hint = "lower the manifest's memory";
    check("ftruncate", libc.ftruncate(memfd.fd, BigInt(size)), hint);
    // A process that it is given to must not take pages away: touching them would end this one.
    const seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    check("fcntl", libc.fcntl(memfd.fd, F_ADD_SEALS, seals));
    return memfd;
  } catch (error) {
    memfd.close();
    throw error;
  }
}
