// Thread: main
// One ring of a live device as its back end is told of it: where it is, where it begins, and its eventfds.
import { VhostUserError } from "../errors.ts";
import type { QueueEvents } from "../device/kick_path.ts";
import type { SharedRam } from "../memory/guest_memory.ts";
import { signalEventFd } from "../sys/fd.ts";
import {
  QUEUE_DESC,
  QUEUE_DEVICE,
  QUEUE_DRIVER,
  QUEUE_SIZE,
  queueWord,
  type Words,
} from "../virtio/device_page.ts";
import { PackedQueue } from "../virtio/packed_queue.ts";
import { RamView } from "../virtio/ram_view.ts";
import { SplitQueue } from "../virtio/split_queue.ts";
import type { QueueSetup } from "../virtio/virtqueue.ts";
import {
  decodeVringState,
  encodeVringAddress,
  encodeVringFd,
  encodeVringState,
} from "./payload.ts";
import { Request } from "./protocol.ts";
import type { Session } from "./front_session.ts";

/** Base of a packed ring that begins: offsets 0, wrap counters 1 (bits 15 and 31). */
const PACKED_START = 0x8000_8000;

/** Where the driver put a ring. */
export interface RingPlace {
  readonly index: number;
  readonly setup: QueueSetup;
  readonly packed: boolean;
}

/** Reads it from the device page; throws a DriverError where a ring may not be: a back end might end over it. */
export function placeOf(
  words: Words,
  ram: SharedRam,
  index: number,
  packed: boolean,
  eventIdx: boolean,
): RingPlace {
  const word = (at: number) => words[queueWord(index, at)]! >>> 0;
  const address = (at: number) => word(at) + word(at + 1) * 2 ** 32;
  const setup = {
    size: word(QUEUE_SIZE),
    desc: address(QUEUE_DESC),
    driver: address(QUEUE_DRIVER),
    device: address(QUEUE_DEVICE),
    eventIdx,
    indirect: true,
  };
  const view = new RamView(ram);
  if (packed) new PackedQueue(view, setup);
  else new SplitQueue(view, setup);
  return { index, setup, packed };
}

export class FrontRing {
  readonly place: RingPlace;
  readonly #open: () => QueueEvents;
  #events: QueueEvents | null = null;

  /** `open` makes the ring's eventfds. */
  constructor(place: RingPlace, open: () => QueueEvents) {
    this.place = place;
    this.#open = open;
  }

  /** Has the back end serve the ring from `base` on: a ring that begins, or one that was stopped there. */
  async start(session: Session, base?: number): Promise<void> {
    const { index, setup, packed } = this.place;
    // New ones each time: a back end that was left has the old ones.
    this.close();
    const { kick, call, error } = this.#events = this.#open();
    // For whatever was made available before: a driver that kicks now reaches `kick`. Never again from here, since who
    // shares an eventfd may make writes to it block.
    signalEventFd(kick.fd);
    const state = (num: number) => encodeVringState({ index, num });
    // The addresses that a back end is told are the guest's: ours are none of its business.
    const address = encodeVringAddress({
      index,
      flags: 0,
      descriptor: setup.desc,
      used: setup.device,
      available: setup.driver,
    });
    const fd = encodeVringFd(index, true);
    await Promise.all([
      session.set(Request.VHOST_USER_SET_VRING_NUM, state(setup.size)),
      session.set(
        Request.VHOST_USER_SET_VRING_BASE,
        state(base ?? (packed ? PACKED_START : 0)),
      ),
      session.set(Request.VHOST_USER_SET_VRING_ADDR, address),
      session.set(Request.VHOST_USER_SET_VRING_CALL, fd, [call]),
      session.set(Request.VHOST_USER_SET_VRING_ERR, fd, [error]),
      session.set(Request.VHOST_USER_SET_VRING_KICK, fd, [kick]),
      ...(session.hasProtocolFeatures
        ? [session.set(Request.VHOST_USER_SET_VRING_ENABLE, state(1))]
        : []),
    ]);
    await session.sync();
  }

  /** Resolves when the back end has let go of the ring, with the base to go on from. */
  async stop(session: Session): Promise<number> {
    const { index } = this.place;
    const payload = encodeVringState({ index, num: 0 });
    const { VHOST_USER_GET_VRING_BASE: request } = Request;
    using reply = await session.get(request, payload);
    const state = decodeVringState(reply.payload);
    if (state.index === index) return state.num;
    throw new VhostUserError(`stopped queue ${state.index}, not ${index}`);
  }

  close(): void {
    this.#events?.close();
    this.#events = null;
  }
}

/** The index of a split ring's next used element, as it is in guest RAM. */
export function usedIndex({ setup }: RingPlace, ram: SharedRam): number {
  const view = new RamView(ram);
  const offset = view.translate(setup.device, 4);
  return Atomics.load(view.u16, offset / 2 + 1);
}
