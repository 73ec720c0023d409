// Thread: main
// The back end's record of what is in flight, kept here so that one that comes back loses nothing ("Inflight I/O
// tracking"). It is never believed here, only given back.
import { VhostUserError } from "../errors.ts";
import type { Fd } from "../sys/fd.ts";
import { libc } from "../sys/libc.ts";
import { inflightQueueBytes } from "../virtio/inflight.ts";
import { decodeInflight, encodeInflight, type Inflight } from "./payload.ts";
import { Request } from "./protocol.ts";
import type { Session } from "./front_session.ts";

// Of struct QueueRegionPacked, in bytes.
const VERSION = 8;
const OLD_USED_IDX = 18;
const OLD_USED_WRAP = 21;
const HEADER = 24;

export class InflightRecord {
  readonly #description: Inflight;
  readonly #fd: Fd;

  private constructor(description: Inflight, fd: Fd) {
    this.#description = description;
    this.#fd = fd;
  }

  /** A new one from a back end, for so many queues of at most this size. */
  static async ask(
    session: Session,
    numQueues: number,
    queueSize: number,
  ): Promise<InflightRecord> {
    const asked = { mmapSize: 0, mmapOffset: 0, numQueues, queueSize };
    const { VHOST_USER_GET_INFLIGHT_FD: request } = Request;
    using reply = await session.get(request, encodeInflight(asked));
    const { mmapSize, mmapOffset } = decodeInflight(reply.payload);
    if (mmapSize === 0) {
      throw new VhostUserError("has no memory for what is in flight");
    }
    const [fd] = reply.takeFds(1);
    return new InflightRecord({ ...asked, mmapSize, mmapOffset }, fd!);
  }

  /** Gives it to a back end: the one that made it, or its successor. */
  async give(session: Session): Promise<void> {
    const { VHOST_USER_SET_INFLIGHT_FD: request } = Request;
    await session.set(request, encodeInflight(this.#description), [this.#fd]);
  }

  /** The base from which a packed ring goes on: nothing in the ring itself tells. Undefined for one that begins. */
  packedBase(queue: number): number | undefined {
    const { mmapOffset, queueSize } = this.#description;
    const at = mmapOffset + queue * inflightQueueBytes(queueSize, true);
    const bytes = new Uint8Array(HEADER);
    // Not mapped: a file that its owner makes shorter would end this process.
    const length = libc.pread(this.#fd.fd, bytes, HEADER, BigInt(at));
    const view = new DataView(bytes.buffer);
    if (length < HEADER || view.getUint16(VERSION, true) === 0) return;
    const used = view.getUint16(OLD_USED_IDX, true) & 0x7fff |
      (bytes[OLD_USED_WRAP] ? 0x8000 : 0);
    return (used | used << 16) >>> 0;
  }

  close(): void {
    this.#fd.close();
  }
}
