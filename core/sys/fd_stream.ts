// Thread: any
// Our end of a pipe as a stream that owns it. Deno adopts no fd that it did not open, and node:net takes 40 ms to load.
import { SysError } from "../errors.ts";
import { AsyncFd } from "./async_fd.ts";
import type { Fd } from "./fd.ts";
import { check, errno, libc } from "./libc.ts";
import { EAGAIN, ECONNRESET, EFD_NONBLOCK, EINTR, F_SETFL } from "./linux.ts";
import { nextTask } from "./next_task.ts";

const CHUNK = 64 * 1024;
/** A writer that never stops must not keep this thread's event loop from everything else. */
const FAIR = 4 * CHUNK;
/** How long a full pipe is left alone. */
const FULL_MS = 1;

/** What is read from a pipe, until its writers are gone. */
export function readableOf(fd: Fd): ReadableStream<Uint8Array> {
  setNonBlocking(fd);
  const pipe = new AsyncFd(fd);
  const buffer = new Uint8Array(CHUNK);
  let unfair = 0;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const length = await pipe.next(() => {
        const length = read(fd, buffer);
        if (length === null) unfair = 0;
        return length;
      });
      if (length === null) return;
      if (length === 0) {
        pipe.close();
        return controller.close();
      }
      controller.enqueue(buffer.slice(0, length));
      unfair += length;
      if (unfair < FAIR) return;
      unfair = 0;
      await nextTask();
    },
    cancel: () => pipe.close(),
  }, { highWaterMark: 0 });
}

/** Bytes that were read, 0 at the end, null while there are none. */
function read(fd: Fd, into: Uint8Array<ArrayBuffer>): number | null {
  for (;;) {
    const length = libc.read(fd.fd, into, into.length);
    if (length >= 0) return length;
    const error = errno();
    // A peer that hung up without having read everything has hung up.
    if (error === ECONNRESET) return 0;
    if (error === EAGAIN) return null;
    if (error === EINTR) continue;
    fd.close();
    throw new SysError("read", error);
  }
}

/** Writes to a pipe; a write fails when its readers are gone. */
export function writableOf(fd: Fd): WritableStream<Uint8Array> {
  setNonBlocking(fd);
  return new WritableStream<Uint8Array>({
    async write(bytes, { signal }) {
      for (let at = 0; at < bytes.length;) {
        // Whoever aborts does not wait for a reader that has stopped.
        signal.throwIfAborted();
        const rest = new Uint8Array(bytes.subarray(at));
        const length = libc.write(fd.fd, rest, rest.length);
        const error = length < 0 ? errno() : 0;
        if (error === 0) at += length;
        else if (error === EAGAIN) {
          await new Promise((resolve) => setTimeout(resolve, FULL_MS));
        } else if (error !== EINTR) {
          // Nobody closes or aborts a stream that has failed.
          fd.close();
          throw new SysError("write", error);
        }
      }
    },
    close: () => fd.close(),
    abort: () => fd.close(),
  });
}

function setNonBlocking(fd: Fd): void {
  check("fcntl", libc.fcntl(fd.fd, F_SETFL, EFD_NONBLOCK));
}
