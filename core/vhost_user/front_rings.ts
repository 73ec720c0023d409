// Thread: main
// All rings of a device between DRIVER_OK and the reset: started, stopped one by one, given to a back end that came back.
import type { OpenQueueEvents } from "../device/kick_path.ts";
import type { SharedRam } from "../memory/guest_memory.ts";
import type { Fd } from "../sys/fd.ts";
import { VhostUserError } from "../errors.ts";
import {
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_RING_RESET,
} from "../virtio/constants.ts";
import {
  DRIVER_FEATURES,
  QUEUE_READY,
  queueWord,
  type Words,
} from "../virtio/device_page.ts";
import type { Declaration } from "../virtio/device_host.ts";
import { InflightRecord } from "./inflight_record.ts";
import { encodeMemoryTable, encodeU64 } from "./payload.ts";
import {
  Request,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE,
} from "./protocol.ts";
import { FrontRing, placeOf, type RingPlace, usedIndex } from "./front_ring.ts";
import { hasBit, type Session } from "./front_session.ts";

/** RAM as a back end gets it. */
export interface BackEndMemory {
  readonly ram: SharedRam;
  readonly memfd: Fd;
}

export interface FrontRingsOptions {
  readonly words: Words;
  readonly queues: Declaration["queues"];
  readonly memory: BackEndMemory;
  readonly open: OpenQueueEvents;
  /** Whether the back end gives back what it took in the same order, so that the used index tells where it was. */
  readonly ordered: boolean;
  /** The back end gave a queue up. */
  readonly onError: (queue: number) => void;
}

const bit = (number: number): bigint => 1n << BigInt(number);

export class FrontRings {
  readonly #options: FrontRingsOptions;
  readonly #rings = new Map<number, FrontRing>();
  /** Where rings that are stopped go on. */
  readonly #bases = new Map<number, number>();
  #inflight: InflightRecord | null = null;
  /** Between DRIVER_OK and the reset. */
  #live = false;
  #paused = false;

  constructor(options: FrontRingsOptions) {
    this.#options = options;
  }

  /** Whether another back end can go on where this one stopped: what was in flight is known. */
  get survives(): boolean {
    const ordered = this.#options.ordered ||
      hasBit(this.#driverFeatures, VIRTIO_F_IN_ORDER);
    return this.#live &&
      (this.#inflight !== null || (ordered && !this.#packed));
  }

  /** What the driver accepted, without what is the transport's alone. */
  get #driverFeatures(): bigint {
    const word = (at: number) =>
      BigInt(this.#options.words[DRIVER_FEATURES + at]! >>> 0);
    return (word(0) | word(1) << 32n) & ~bit(VIRTIO_F_RING_RESET);
  }

  get #packed(): boolean {
    return hasBit(this.#driverFeatures, VIRTIO_F_RING_PACKED);
  }

  /** DRIVER_OK. Throws a DriverError before the back end is told anything. */
  async begin(session: Session): Promise<void> {
    const { words, queues } = this.#options;
    const ready = queues.map((_, index) => index)
      .filter((index) => words[queueWord(index, QUEUE_READY)] === 1);
    const places = ready.map((index) => this.#placeOf(index));
    await this.#introduce(session);
    if (session.has(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD)) {
      const sizes = queues.map(({ size }) => size);
      const largest = Math.max(1, ...sizes);
      this.#inflight = await InflightRecord.ask(
        session,
        queues.length,
        largest,
      );
      await this.#inflight.give(session);
    }
    for (const place of places) await this.#open(place).start(session);
    this.#live = true;
  }

  #placeOf(index: number) {
    const { words, memory } = this.#options;
    const eventIdx = hasBit(this.#driverFeatures, VIRTIO_F_EVENT_IDX);
    return placeOf(words, memory.ram, index, this.#packed, eventIdx);
  }

  #open(place: RingPlace): FrontRing {
    const { open, onError } = this.#options;
    const { index } = place;
    const ring = new FrontRing(place, () => open(index, () => onError(index)));
    this.#rings.set(index, ring);
    return ring;
  }

  /** What a back end must know before any ring. */
  async #introduce(session: Session): Promise<void> {
    const wanted = this.#driverFeatures;
    if (wanted & ~session.features) {
      throw new VhostUserError("offers less than the driver uses already");
    }
    const features = session.hasProtocolFeatures
      ? wanted | bit(VHOST_USER_F_PROTOCOL_FEATURES)
      : wanted;
    await session.set(Request.VHOST_USER_SET_FEATURES, encodeU64(features));
    const { ram, memfd } = this.#options.memory;
    const table = ram.regions.map(({ gpa, size, offset }) => ({
      guestAddress: gpa,
      size,
      // What rings are told by; our own addresses are none of its business.
      userAddress: gpa,
      mmapOffset: offset,
    }));
    await session.set(
      Request.VHOST_USER_SET_MEM_TABLE,
      encodeMemoryTable(table),
      ram.regions.map(() => memfd),
    );
  }

  /** Gives a back end that came back the same rings. The driver is to be interrupted: a call may have been lost. */
  async goOn(session: Session): Promise<void> {
    await this.#introduce(session);
    await this.#inflight?.give(session);
    if (this.#paused) return;
    for (const ring of this.#rings.values()) {
      await this.#continue(session, ring);
    }
  }

  async #continue(session: Session, ring: FrontRing): Promise<void> {
    const { index, packed } = ring.place;
    const known = this.#bases.get(index);
    this.#bases.delete(index);
    const base = known ??
      (packed
        ? this.#inflight?.packedBase(index)
        : usedIndex(ring.place, this.#options.memory.ram));
    await ring.start(session, base);
  }

  /** QueueReady=1 of one queue. Without a back end it waits for the next. */
  async enable(session: Session | null, index: number): Promise<void> {
    const place = this.#placeOf(index);
    await this.revoke(session, index);
    const ring = this.#open(place);
    if (session !== null && !this.#paused) await ring.start(session);
  }

  /** QueueReady=0 or QueueReset of one queue. */
  async revoke(session: Session | null, index: number): Promise<void> {
    const ring = this.#rings.get(index);
    if (ring === undefined) return;
    this.#rings.delete(index);
    this.#bases.delete(index);
    try {
      if (session !== null && !this.#paused) await ring.stop(session);
    } finally {
      ring.close();
    }
  }

  /** Stops all rings where they are, until `resume`. */
  async pause(session: Session | null): Promise<void> {
    this.#paused = true;
    if (session === null) return;
    for (const [index, ring] of this.#rings) {
      this.#bases.set(index, await ring.stop(session));
    }
  }

  async resume(session: Session | null): Promise<void> {
    this.#paused = false;
    if (session === null) return;
    for (const ring of this.#rings.values()) {
      await this.#continue(session, ring);
    }
  }

  /** The reset. After it the back end has let go of all rings, unless it is gone. */
  async end(session: Session | null): Promise<void> {
    this.#live = false;
    try {
      if (session === null) return;
      for (const index of [...this.#rings.keys()]) {
        await this.revoke(session, index);
      }
      if (session.has(VHOST_USER_PROTOCOL_F_RESET_DEVICE)) {
        await session.set(Request.VHOST_USER_RESET_DEVICE);
      }
    } finally {
      for (const ring of this.#rings.values()) ring.close();
      this.#rings.clear();
      this.#bases.clear();
      this.#inflight?.close();
      this.#inflight = null;
    }
  }
}
