// Thread: any
// The memory of a process that we may trace, of one of its threads' view.
import { SysError } from "../errors.ts";
import { Fd } from "./fd.ts";
import { cText, libc } from "./libc.ts";
import { O_RDONLY, PATH_MAX } from "./linux.ts";

/** Beyond is the kernel's, and nothing. */
const END_OF_USER_SPACE = 2 ** 47;

/** Bytes at an address; as many as are there. */
export function readMemory(
  tid: number,
  address: number,
  length: number,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  if (address >= END_OF_USER_SPACE) return bytes.slice(0, 0);
  try {
    using memory = Fd.open(`/proc/${tid}/mem`, O_RDONLY);
    const count = libc.pread(memory.fd, bytes, length, BigInt(address));
    return bytes.slice(0, Math.max(count, 0));
  } catch (error) {
    // It has gone.
    if (error instanceof SysError) return bytes.slice(0, 0);
    throw error;
  }
}

/** The C string at an address, of a path's length at most; null where there is none. */
export function readMemoryText(tid: number, address: number): string | null {
  const bytes = readMemory(tid, address, PATH_MAX);
  return bytes.includes(0) ? cText(bytes) : null;
}
