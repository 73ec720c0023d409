// A vhost-user back end that does what its test says: it records what it is told, answers as the protocol wants,
// and where the test says so, otherwise.
import { VhostUserError } from "../../core/errors.ts";
import { EventFd, type Fd } from "../../core/sys/fd.ts";
import { libc } from "../../core/sys/libc.ts";
import { Connection, type Message } from "../../core/vhost_user/connection.ts";

/** A request as it came, with the numbers of the descriptors that came with it. */
export interface Told {
  readonly request: number;
  readonly flags: number;
  readonly payload: Uint8Array;
  readonly fds: readonly Fd[];
}

type Bytes = Uint8Array<ArrayBuffer>;
/** What the fake does instead of what it should: true when it has done so. */
export type Script = (told: Told, end: FakeBackEnd) => boolean | void;

export interface FakeBackEndOptions {
  /** Feature bits; VERSION_1, INDIRECT_DESC, EVENT_IDX and PROTOCOL_FEATURES if not given. */
  readonly features?: bigint;
  /** All that the front end knows if not given. */
  readonly protocolFeatures?: bigint;
  readonly queues?: number;
  readonly config?: Uint8Array;
  readonly script?: Script;
}

const u64 = (value: bigint): Bytes =>
  new Uint8Array(BigUint64Array.of(value).buffer);
const u32s = (...values: number[]): Bytes =>
  new Uint8Array(Uint32Array.from(values).buffer);
export const u32 = (bytes: Uint8Array, at: number): number =>
  new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
export const u64At = (bytes: Uint8Array, at: number): bigint =>
  new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true);

/** MQ, REPLY_ACK, BACKEND_REQ, CONFIG, INFLIGHT_SHMFD, RESET_DEVICE. */
export const ALL = 0x3229n;
export const FEATURES = 1n << 32n | 1n << 30n | 1n << 29n | 1n << 28n;

export class FakeBackEnd {
  readonly connection: Connection;
  readonly told: Told[] = [];
  /** Resolves when the front end has hung up, or the fake did. */
  readonly ended: Promise<void>;
  /** Base that GET_VRING_BASE answers. */
  base = 0;
  config: Uint8Array;
  channel: Connection | null = null;
  #acks = false;
  readonly #options: FakeBackEndOptions;

  constructor(connection: Connection, options: FakeBackEndOptions = {}) {
    this.connection = connection;
    this.#options = options;
    this.config = options.config ?? new Uint8Array(256);
    this.ended = this.#serve();
  }

  async #serve(): Promise<void> {
    for (;;) {
      const message = await this.connection.receive();
      if (message === null) break;
      const told = keep(message);
      this.told.push(told);
      try {
        if (!this.#options.script?.(told, this)) this.answer(told);
      } catch (error) {
        // The front end has hung up meanwhile.
        if (!(error instanceof VhostUserError)) throw error;
      }
    }
    for (const { fds } of this.told) for (const fd of fds) fd.close();
    this.channel?.close();
    this.connection.close();
  }

  /** What the protocol asks for. */
  answer(told: Told): void {
    const { request, flags } = told;
    const reply = this.#replyTo(told);
    if (request === 16) this.#acks = (u64At(told.payload, 0) & 8n) !== 0n;
    if (reply !== null) this.reply(request, reply);
    else if (this.#acks && flags & 8) this.reply(request, u64(0n));
    if (request === 31) this.#giveInflight(told);
  }

  #replyTo({ request, payload, fds }: Told): Bytes | null {
    const { features, protocolFeatures = ALL, queues = 2 } = this.#options;
    switch (request) {
      case 1:
        return u64(features ?? FEATURES);
      case 15:
        return u64(protocolFeatures);
      case 17:
        return u64(BigInt(queues));
      case 11:
        return u32s(u32(payload, 0), this.base);
      case 21:
        this.channel = Connection.adopt(fds[0]!.release());
        return null;
      case 24: {
        const [at, size] = [u32(payload, 0), u32(payload, 4)];
        const bytes = this.config.slice(at, at + size);
        return Uint8Array.of(...u32s(at, size, 0), ...bytes);
      }
      case 25:
        this.config.set(payload.subarray(12), u32(payload, 0));
        return null;
      default:
        return null;
    }
  }

  #giveInflight({ payload }: Told): void {
    const answer = payload.slice();
    new DataView(answer.buffer).setBigUint64(0, 8192n, true);
    using fd = new EventFd();
    this.reply(31, answer, [fd]);
  }

  reply(request: number, payload: Uint8Array, fds: readonly Fd[] = []): void {
    this.connection.send(request, payload, fds, 4);
  }

  hangUp(): void {
    this.connection.close();
  }

  /** Numbers of the requests that came, those from `from` on. */
  requests(from = 0): number[] {
    return this.told.slice(from).map(({ request }) => request);
  }

  /** What came with the last request of this number. */
  last(request: number): Told {
    const found = this.told.findLast((told) => told.request === request);
    if (found === undefined) throw new Error(`no request ${request} came`);
    return found;
  }
}

function keep(message: Message): Told {
  const { request, flags, payload } = message;
  const fds = message.takeFds(message.fds.length);
  return { request, flags, payload, fds };
}

/** How often an eventfd was signalled, which makes it 0 again. */
export function drain(fd: Fd): number {
  const count = new BigUint64Array(1);
  const bytes = new Uint8Array(count.buffer);
  return libc.read(fd.fd, bytes, 8) === 8 ? Number(count[0]) : 0;
}
