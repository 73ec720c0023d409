// Thread: main
// The memory in which what is in flight outlives this process: made here, kept by the front end, mapped for the worker.
import { SysError, VhostUserError } from "../errors.ts";
import { FileMapping } from "../memory/file_mapping.ts";
import { Fd } from "../sys/fd.ts";
import { check, cString, libc } from "../sys/libc.ts";
import { MFD_CLOEXEC } from "../sys/linux.ts";
import { MAX_QUEUES } from "../virtio/device_page.ts";
import { inflightQueueBytes, type SharedInflight } from "../virtio/inflight.ts";
import type { Inflight } from "./payload.ts";

const PAGE = 4096;
/** The largest queue that a device may declare. */
const MAX_SIZE = 1024;

/** Bytes for rings of either format: features may be set later. */
function bytesOf(numQueues: number, queueSize: number): number {
  const bytes = numQueues * inflightQueueBytes(queueSize, true);
  return Math.ceil(bytes / PAGE) * PAGE;
}

function checkCounts({ numQueues, queueSize }: Inflight): void {
  const known = numQueues >= 1 && numQueues <= MAX_QUEUES && queueSize >= 1 &&
    queueSize <= MAX_SIZE;
  if (known) return;
  throw new VhostUserError(
    `asked for what is in flight in ${numQueues} queues of ${queueSize}; there are up to ${MAX_QUEUES} of ${MAX_SIZE}`,
  );
}

/** New memory for a front end; the caller owns the descriptor. */
export function createInflight(
  asked: Inflight,
): { readonly description: Inflight; readonly fd: Fd } {
  checkCounts(asked);
  const { numQueues, queueSize } = asked;
  const mmapSize = bytesOf(numQueues, queueSize);
  const name = cString("paddock-inflight");
  const fd = new Fd(
    check("memfd_create", libc.memfd_create(name, MFD_CLOEXEC)),
  );
  try {
    check("ftruncate", libc.ftruncate(fd.fd, BigInt(mmapSize)));
  } catch (error) {
    fd.close();
    throw error;
  }
  return { description: { ...asked, mmapSize, mmapOffset: 0 }, fd };
}

/** Owns the mapping of memory that a front end kept. */
export class InflightMemory implements Disposable {
  readonly shared: SharedInflight;
  readonly numQueues: number;
  readonly #mapping: FileMapping;
  readonly #size: number;

  /** Throws a VhostUserError for memory that cannot be. The file may be closed afterwards. */
  constructor(description: Inflight, fd: Fd) {
    checkCounts(description);
    const { numQueues, queueSize, mmapSize, mmapOffset } = description;
    const most = 2 * bytesOf(MAX_QUEUES, MAX_SIZE);
    if (mmapOffset % PAGE !== 0 || mmapSize === 0 || mmapSize > most) {
      throw new VhostUserError(
        `sent ${mmapSize} bytes at ${mmapOffset} for what is in flight; they are whole pages, up to ${most} bytes`,
      );
    }
    this.numQueues = numQueues;
    this.#size = mmapSize;
    this.#mapping = map(fd, mmapOffset, mmapSize);
    const { buffer, byteOffset } = this.#mapping;
    this.shared = { buffer, byteOffset, queueSize };
  }

  /** Throws a VhostUserError when there is no room for this queue. */
  checkRoom(queue: number, packed: boolean): void {
    const each = inflightQueueBytes(this.shared.queueSize, packed);
    if (queue < this.numQueues && (queue + 1) * each <= this.#size) return;
    throw new VhostUserError(
      `started queue ${queue}, and sent memory for what is in flight in ${this.numQueues} queues, of ${this.#size} bytes`,
    );
  }

  close(): void {
    this.#mapping.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function map(fd: Fd, offset: number, size: number): FileMapping {
  try {
    return new FileMapping([{ fd, offset, size }]);
  } catch (cause) {
    if (!(cause instanceof SysError || cause instanceof RangeError)) {
      throw cause;
    }
    throw new VhostUserError(
      `sent memory for what is in flight that cannot be mapped: ${cause.message}`,
      { cause },
    );
  }
}
