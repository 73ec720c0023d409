// Thread: main
// How a device's back end is reached, what it must have for the device, and what a driver is offered of it.
import { VhostUserError } from "../errors.ts";
import { offeredFeatures } from "../device/declaration.ts";
import type { VirtioConfig } from "../manifest/config.ts";
import {
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_RING_RESET,
  VIRTIO_F_VERSION_1,
} from "../virtio/constants.ts";
import type { Declaration } from "../virtio/device_host.ts";
import type { Connection } from "./connection.ts";
import { decodeConfig, encodeConfig } from "./payload.ts";
import {
  Request,
  VHOST_USER_MAX_CONFIG,
  VHOST_USER_PROTOCOL_F_CONFIG,
} from "./protocol.ts";
import { hasBit, Session } from "./front_session.ts";

/** How long a back end may take to negotiate, or to obey a command. */
const BUDGET_MS = 10_000;

/** A virtio device as its front end knows it. */
export interface BackEndDevice {
  readonly id: number;
  readonly queues: Declaration["queues"];
  /** Features that need others; vhost-user does not tell. */
  readonly needs: Declaration["needs"];
  /** Its configuration space, where that is the front end's; else how many bytes to ask the back end for. */
  readonly config: Uint8Array | number;
  /** Features that it is offered without where the back end has no configuration space; null: it needs one. */
  readonly withoutConfig: readonly number[] | null;
  /** Whether it gives back what it took in the same order, though it may not offer VIRTIO_F_IN_ORDER. */
  readonly ordered: boolean;
}

/** A back end that fits, and its configuration space. */
export interface OpenedBackEnd {
  readonly session: Session;
  readonly config: Uint8Array;
}

export interface LinkOptions {
  /** Throws a SysError or VhostUserError. */
  readonly connect: () => Connection | Promise<Connection>;
  readonly device: BackEndDevice;
  readonly virtio: VirtioConfig;
  readonly budgetMs?: number;
}

export class BackEndLink {
  readonly device: BackEndDevice;
  readonly #connect: LinkOptions["connect"];
  readonly #virtio: VirtioConfig;
  readonly #budgetMs: number;

  constructor({ connect, device, virtio, budgetMs }: LinkOptions) {
    this.#connect = connect;
    this.device = device;
    this.#virtio = virtio;
    this.#budgetMs = budgetMs ?? BUDGET_MS;
  }

  /** Connects and negotiates. Throws what `connect` throws, and a VhostUserError for a back end that does not fit. */
  async open(signal?: AbortSignal): Promise<OpenedBackEnd> {
    const connection = await this.#connect();
    const session = await Session.open(connection, this.#budgetMs, signal);
    const config = await session.within(() => {
      const lack = this.#lackOf(session);
      if (lack !== null) throw new VhostUserError(lack);
      return this.readConfig(session);
    }, signal);
    return { session, config };
  }

  /** What the manifest asks for and the back end does not have. */
  #lackOf(session: Session): string | null {
    const { transport, ring, inOrder } = this.#virtio;
    const lacks = (bit: number) => !hasBit(session.features, bit);
    if (transport === "modern" && lacks(VIRTIO_F_VERSION_1)) {
      return 'offers no VIRTIO_F_VERSION_1; add "virtio": { "transport": "legacy" }';
    }
    if (ring === "packed" && lacks(VIRTIO_F_RING_PACKED)) {
      return 'offers no VIRTIO_F_RING_PACKED; remove "ring": "packed"';
    }
    if (inOrder && lacks(VIRTIO_F_IN_ORDER)) {
      return 'offers no VIRTIO_F_IN_ORDER; remove "inOrder"';
    }
    const { queues, config, withoutConfig } = this.device;
    if (session.queues !== null && session.queues < queues.length) {
      return `has ${session.queues} queues, not ${queues.length}; lower "queues"`;
    }
    const needsConfig = typeof config === "number" && config > 0 &&
      withoutConfig === null;
    return needsConfig && !session.has(VHOST_USER_PROTOCOL_F_CONFIG)
      ? "offers no VHOST_USER_PROTOCOL_F_CONFIG, which this device needs; use another back end"
      : null;
  }

  /** Feature words for the driver: what both sides have. A queue's reset is done here, by stopping its ring. */
  offered(session: Session): [number, number] {
    const hasConfig = session.has(VHOST_USER_PROTOCOL_F_CONFIG);
    const without = hasConfig ? [] : this.device.withoutConfig ?? [];
    const own = Array.from({ length: 64 }, (_, bit) => bit)
      .filter((bit) => (bit < 24 || bit >= 50) && !without.includes(bit));
    const words = offeredFeatures({ features: own }, this.#virtio);
    const bits = session.features | 1n << BigInt(VIRTIO_F_RING_RESET);
    const both = [0, 1].map((word) =>
      (words[word]! & Number(BigInt.asUintN(32, bits >> BigInt(32 * word)))) >>>
      0
    ) as [number, number];
    return this.#withNeeds(both);
  }

  /** Without those that need a feature which is not there: a driver that accepts what it is offered could not go on. */
  #withNeeds(words: [number, number]): [number, number] {
    const has = (bit: number) => (words[bit >> 5]! >>> (bit & 31)) & 1;
    for (;;) {
      const lone = this.device.needs.find(([feature, needed]) =>
        has(feature) && !has(needed)
      );
      if (lone === undefined) return words;
      const [feature] = lone;
      const word = (feature >> 5) as 0 | 1;
      words[word] = (words[word] & ~(1 << (feature & 31))) >>> 0;
    }
  }

  /** The configuration space. */
  async readConfig(session: Session): Promise<Uint8Array> {
    const { config } = this.device;
    if (typeof config !== "number") return config;
    if (!session.has(VHOST_USER_PROTOCOL_F_CONFIG)) return new Uint8Array(0);
    const all = new Uint8Array(config);
    for (let at = 0; at < config; at += VHOST_USER_MAX_CONFIG) {
      const bytes = all.subarray(at, at + VHOST_USER_MAX_CONFIG);
      bytes.set(await readPart(session, at, bytes.length));
    }
    return all;
  }

  /** False for what the back end does not let be written. */
  async writeConfig(
    session: Session,
    offset: number,
    bytes: Uint8Array,
  ): Promise<boolean> {
    if (!session.has(VHOST_USER_PROTOCOL_F_CONFIG)) return false;
    const payload = encodeConfig({ offset, flags: 0, bytes });
    return await session.ask(Request.VHOST_USER_SET_CONFIG, payload);
  }
}

async function readPart(
  session: Session,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const asked = { offset, flags: 0, bytes: new Uint8Array(length) };
  using reply = await session.get(
    Request.VHOST_USER_GET_CONFIG,
    encodeConfig(asked),
  );
  const { bytes } = decodeConfig(reply.payload);
  if (bytes.length === length) return bytes;
  throw new VhostUserError(
    `sent ${bytes.length} bytes of configuration space, not ${length}`,
  );
}
