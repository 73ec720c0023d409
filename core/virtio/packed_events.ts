// Thread: queue
// Event suppression of a packed virtqueue (virtio-v1.3 §2.8.10): whether driver and device want to hear of each other.
import { placeRing, refuseOverlap } from "./virtqueue.ts";
import type { RamView } from "./ram_view.ts";

const RING_EVENT_FLAGS_ENABLE = 0;
const RING_EVENT_FLAGS_DISABLE = 1;
const RING_EVENT_FLAGS_DESC = 2;
const EVENT_SIZE = 4;
const WRAP = 0x8000;

/** The section on alignment and place of a packed ring's parts. */
export const PACKED_PLACES = "2.8.10.1";

export class PackedEvents {
  readonly #u16: Uint16Array<SharedArrayBuffer>;
  readonly #eventIdx: boolean;
  /** Indices into u16: a position, then flags. */
  readonly #driver: number;
  readonly #device: number;

  /** Throws a DriverError when an area is not where it may be; the descriptor ring is at [ring, ring + ringSize). */
  constructor(
    ram: RamView,
    areas: {
      readonly driver: number;
      readonly device: number;
      readonly eventIdx: boolean;
    },
    ring: number,
    ringSize: number,
  ) {
    const place = (what: string, gpa: number) =>
      placeRing(ram, PACKED_PLACES, what, gpa, EVENT_SIZE, 4);
    const driver = place("driver event area", areas.driver);
    const device = place("device event area", areas.device);
    // The device writes used descriptors, and its event area.
    refuseOverlap(PACKED_PLACES, ring, ringSize, driver, EVENT_SIZE);
    refuseOverlap(PACKED_PLACES, ring, ringSize, device, EVENT_SIZE);
    refuseOverlap(PACKED_PLACES, driver, EVENT_SIZE, device, EVENT_SIZE);
    this.#u16 = ram.u16;
    this.#eventIdx = areas.eventIdx;
    this.#driver = driver / 2;
    this.#device = device / 2;
  }

  /** Whether the driver wants an interrupt for the `added` descriptors in front of `next` of a ring of `size`. */
  wantsInterrupt(
    added: number,
    next: number,
    wrap: boolean,
    size: number,
  ): boolean {
    const flags = Atomics.load(this.#u16, this.#driver + 1) & 3;
    if (flags === RING_EVENT_FLAGS_DISABLE) return false;
    if (flags !== RING_EVENT_FLAGS_DESC || !this.#eventIdx) return true;
    // The driver wants one when the descriptor at (offset, wrap) was used: is it among the last `added`?
    const event = Atomics.load(this.#u16, this.#driver);
    const offset = event & ~WRAP;
    const sameWrap = (event & WRAP) !== 0 === wrap;
    const behind = next - (sameWrap ? offset : offset - size);
    return behind > 0 && behind <= added;
  }

  disableKicks(): void {
    Atomics.store(this.#u16, this.#device + 1, RING_EVENT_FLAGS_DISABLE);
  }

  /** For the descriptor at `next`, where the driver can be told so much. */
  enableKicks(next: number, wrap: boolean): void {
    if (this.#eventIdx) {
      Atomics.store(this.#u16, this.#device, next | (wrap ? WRAP : 0));
    }
    const flags = this.#eventIdx
      ? RING_EVENT_FLAGS_DESC
      : RING_EVENT_FLAGS_ENABLE;
    Atomics.store(this.#u16, this.#device + 1, flags);
  }
}
