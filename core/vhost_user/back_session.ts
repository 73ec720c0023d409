// Thread: main
// One front end, from its first message to its hang-up. What it asks for is checked here, and done in back_rings.ts.
import { VhostUserError } from "../errors.ts";
import type { WorkerHost } from "../device/worker_host.ts";
import { withSpareMemory } from "../sandbox/rlimits.ts";
import type { Fd } from "../sys/fd.ts";
import { BackRings } from "./back_rings.ts";
import {
  checkAccepted,
  offeredFeatures,
  offeredProtocolFeatures,
  PROTOCOL_FEATURES,
  REPLY_ACK,
} from "./back_features.ts";
import { readConfig, writeConfig } from "./config_access.ts";
import { Connection, type Message } from "./connection.ts";
import { createInflight, InflightMemory } from "./inflight_memory.ts";
import { MemoryTable } from "./memory_table.ts";
import {
  decodeConfig,
  decodeInflight,
  decodeMemoryTable,
  decodeU64,
  decodeVringAddress,
  decodeVringFd,
  decodeVringState,
  encodeConfig,
  encodeInflight,
  encodeU64,
  encodeVringState,
} from "./payload.ts";
import {
  BackEndRequest,
  Request,
  requestName,
  VHOST_USER_NEED_REPLY,
  VHOST_USER_REPLY,
} from "./protocol.ts";
import {
  makeNonBlocking,
  type QueueLines,
  signalError,
} from "./queue_lines.ts";

/** What a message is answered with: a payload with a descriptor that is closed once sent, or whether it was done. */
type Answer =
  | boolean
  | { readonly payload: Uint8Array; readonly fd?: Fd };

export class BackSession {
  readonly #connection: Connection;
  readonly #host: WorkerHost;
  readonly #lines: QueueLines;
  readonly #rings: BackRings;
  #protocolFeatures = 0n;
  /** Where this side asks. */
  #channel: Connection | null = null;

  /** For a device that has declared itself. */
  constructor(connection: Connection, host: WorkerHost, lines: QueueLines) {
    this.#connection = connection;
    this.#host = host;
    this.#lines = lines;
    this.#rings = new BackRings(host, lines);
  }

  /** Resolves when the front end has hung up; throws a VhostUserError or SysError for what it did wrong. */
  async run(): Promise<void> {
    try {
      for (;;) {
        using message = await this.#connection.receive();
        if (message === null) return;
        this.#reply(message, await this.#handle(message));
      }
    } finally {
      this.#connection.close();
      this.#channel?.close();
      this.#channel = null;
      await this.#rings.close();
    }
  }

  /** Tells the front end that configuration space has changed. */
  configChanged(): void {
    const { VHOST_USER_BACKEND_CONFIG_CHANGE_MSG } = BackEndRequest;
    try {
      this.#channel?.send(VHOST_USER_BACKEND_CONFIG_CHANGE_MSG);
    } catch (error) {
      if (!(error instanceof VhostUserError)) throw error;
      this.#channel?.close();
      this.#channel = null;
    }
  }

  /** Tells the front end that the device has failed: on every queue that it waits for errors on. */
  deviceFailed(): void {
    for (const fd of this.#rings.errors) signalError(fd);
  }

  #reply({ request, flags }: Message, answer: Answer): void {
    if (typeof answer === "object") {
      using fd = answer.fd;
      const fds = fd === undefined ? [] : [fd];
      this.#connection.send(request, answer.payload, fds, VHOST_USER_REPLY);
      return;
    }
    const wanted = (flags & VHOST_USER_NEED_REPLY) !== 0 &&
      (this.#protocolFeatures & REPLY_ACK) !== 0n;
    if (!wanted) return;
    const payload = encodeU64(answer ? 0 : 1);
    this.#connection.send(request, payload, [], VHOST_USER_REPLY);
  }

  #handle(message: Message): Answer | Promise<Answer> {
    const { request, payload } = message;
    switch (request) {
      case Request.VHOST_USER_SET_MEM_TABLE:
        return this.#setMemory(message);
      case Request.VHOST_USER_SET_VRING_KICK:
      case Request.VHOST_USER_SET_VRING_CALL:
      case Request.VHOST_USER_SET_VRING_ERR:
        return this.#setDescriptor(message);
      case Request.VHOST_USER_SET_BACKEND_REQ_FD:
        return this.#setChannel(message);
      case Request.VHOST_USER_SET_INFLIGHT_FD:
        return this.#setInflight(message);
    }
    message.takeFds(0);
    return this.#handleRing(request, payload) ??
      this.#handleDevice(request, payload);
  }

  /** Messages about one queue; null for others. */
  #handleRing(
    request: number,
    payload: Uint8Array,
  ): Answer | Promise<Answer> | null {
    const rings = this.#rings;
    switch (request) {
      case Request.VHOST_USER_SET_VRING_NUM:
        return this.#setSize(payload);
      case Request.VHOST_USER_SET_VRING_ADDR:
        return rings.setAddress(decodeVringAddress(payload));
      case Request.VHOST_USER_SET_VRING_BASE: {
        const { index, num } = decodeVringState(payload);
        rings.stopped(index, "the base").setBase(num, rings.packed);
        return true;
      }
      case Request.VHOST_USER_GET_VRING_BASE:
        return this.#stopRing(payload);
      case Request.VHOST_USER_SET_VRING_ENABLE: {
        const { index, num } = decodeVringState(payload);
        const ring = rings.at(index);
        ring.enabled = num !== 0;
        return rings.update(ring);
      }
      default:
        return null;
    }
  }

  #handleDevice(
    request: number,
    payload: Uint8Array,
  ): Answer | Promise<Answer> {
    switch (request) {
      case Request.VHOST_USER_GET_FEATURES:
        return { payload: encodeU64(offeredFeatures(this.#host)) };
      case Request.VHOST_USER_SET_FEATURES:
        return this.#setFeatures(decodeU64(payload));
      case Request.VHOST_USER_GET_PROTOCOL_FEATURES:
        return { payload: encodeU64(offeredProtocolFeatures(this.#host)) };
      case Request.VHOST_USER_SET_PROTOCOL_FEATURES:
        return this.#setProtocolFeatures(decodeU64(payload));
      // Who is at the other end of the connection owns the device as it is.
      case Request.VHOST_USER_SET_OWNER:
      case Request.VHOST_USER_RESET_OWNER:
        return true;
      case Request.VHOST_USER_GET_QUEUE_NUM:
        return { payload: encodeU64(this.#host.declaration!.queues.length) };
      case Request.VHOST_USER_GET_CONFIG:
        return this.#getConfig(payload);
      case Request.VHOST_USER_SET_CONFIG:
        return writeConfig(this.#host, decodeConfig(payload));
      case Request.VHOST_USER_GET_INFLIGHT_FD: {
        const { description, fd } = createInflight(decodeInflight(payload));
        return { payload: encodeInflight(description), fd };
      }
      case Request.VHOST_USER_RESET_DEVICE:
        return this.#rings.reset().then(() => this.#host.usable);
      default:
        throw new VhostUserError(
          `sent ${requestName(request)}, which was not offered`,
        );
    }
  }

  #getConfig(payload: Uint8Array): Answer {
    const asked = decodeConfig(payload);
    const bytes = readConfig(this.#host, asked.offset, asked.bytes.length);
    // No payload at all is an error.
    if (bytes === null) return { payload: new Uint8Array(0) };
    return { payload: encodeConfig({ ...asked, bytes }) };
  }

  #setFeatures(features: bigint): boolean {
    checkAccepted(features, offeredFeatures(this.#host));
    const driver = features & ~PROTOCOL_FEATURES;
    const low = Number(driver & 0xffff_ffffn);
    const high = Number(driver >> 32n);
    this.#rings.setFeatures(low, high, driver !== features);
    return true;
  }

  #setProtocolFeatures(features: bigint): boolean {
    checkAccepted(features, offeredProtocolFeatures(this.#host));
    this.#protocolFeatures = features;
    return true;
  }

  async #setMemory(message: Message): Promise<boolean> {
    const regions = decodeMemoryTable(message.payload);
    const fds = message.takeFds(regions.length);
    try {
      return await this.#rings.setMemory(() =>
        withSpareMemory(() => new MemoryTable(regions, fds))
      );
    } finally {
      for (const fd of fds) fd.close();
    }
  }

  #setSize(payload: Uint8Array): boolean {
    const { index, num } = decodeVringState(payload);
    const ring = this.#rings.stopped(index, "the size");
    const most = this.#host.declaration!.queues[index]!.size;
    if (num < 1 || num > most) {
      throw new VhostUserError(
        `chose size ${num} for queue ${index}; the device has up to ${most}`,
      );
    }
    ring.size = num;
    return true;
  }

  async #stopRing(payload: Uint8Array): Promise<Answer> {
    const { index } = decodeVringState(payload);
    const ring = this.#rings.at(index);
    await this.#rings.setKick(ring, null);
    const num = ring.base(this.#rings.packed);
    return { payload: encodeVringState({ index, num }) };
  }

  async #setDescriptor(message: Message): Promise<boolean> {
    const { request } = message;
    const { index, hasFd } = decodeVringFd(message.payload);
    const ring = this.#rings.at(index);
    const fd = message.takeFds(hasFd ? 1 : 0)[0] ?? null;
    if (request === Request.VHOST_USER_SET_VRING_KICK) {
      if (fd !== null) return await this.#rings.setKick(ring, fd);
      throw new VhostUserError(
        `asked to poll queue ${index}; give it a kick descriptor`,
      );
    }
    if (request === Request.VHOST_USER_SET_VRING_CALL) {
      using _ = fd;
      this.#lines.setCall(index, fd);
      return true;
    }
    ring.error?.close();
    ring.error = fd;
    if (fd !== null) makeNonBlocking(fd);
    return true;
  }

  #setChannel(message: Message): boolean {
    const [fd] = message.takeFds(1);
    this.#channel?.close();
    this.#channel = Connection.adopt(fd!.release());
    return true;
  }

  #setInflight(message: Message): boolean {
    const description = decodeInflight(message.payload);
    using fd = message.takeFds(1)[0]!;
    this.#rings.setInflight(() => new InflightMemory(description, fd));
    return true;
  }
}
