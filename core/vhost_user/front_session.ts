// Thread: main
// One connection to a back end, as its front end has it: requests with their replies in order, what was negotiated,
// and one end. Whatever the back end does wrong ends it.
import { VhostUserError } from "../errors.ts";
import { RateLimit } from "../sys/rate_limit.ts";
import type { Fd } from "../sys/fd.ts";
import { UnixSocket } from "../sys/unix_socket.ts";
import { Connection, type Message } from "./connection.ts";
import { decodeU64, encodeU64 } from "./payload.ts";
import {
  BackEndRequest,
  Request,
  requestName,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_NEED_REPLY,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE,
  VHOST_USER_REPLY,
} from "./protocol.ts";

/** What this front end uses of the protocol features. */
const KNOWN = [
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE,
].reduce((all, bit) => all | (1n << BigInt(bit)), 0n);

/** Messages that a back end may send of its own accord in a second; more would keep main from everything else. */
const MAX_MESSAGES = 1000;

/** What a session tells whoever uses it. */
export interface SessionListener {
  onConfigChange(): void;
  /** Told once, with what the back end did. */
  onEnd(problem: VhostUserError): void;
}

interface Pending {
  readonly request: number;
  readonly reply: PromiseWithResolvers<Message>;
}

/** Whether bit number `bit` is set. */
export const hasBit = (bits: bigint, bit: number): boolean =>
  ((bits >> BigInt(bit)) & 1n) === 1n;

export class Session {
  readonly #connection: Connection;
  readonly #budgetMs: number;
  readonly #pending: Pending[] = [];
  readonly #messages = new RateLimit(MAX_MESSAGES);
  #channel: Connection | null = null;
  #listener: SessionListener | null = null;
  /** Configuration space changed before anybody listened. */
  #changed = false;
  #problem: VhostUserError | null = null;
  #protocolFeatures = 0n;
  /** All of what the back end offers; VHOST_USER_F_PROTOCOL_FEATURES among them is no virtio feature. */
  features = 0n;
  /** Virtqueues that it has; null where it does not say. */
  queues: number | null = null;

  private constructor(connection: Connection, budgetMs: number) {
    this.#connection = connection;
    this.#budgetMs = budgetMs;
  }

  /** Negotiates; the session owns the connection. Throws a VhostUserError. */
  static async open(
    connection: Connection,
    budgetMs: number,
    signal?: AbortSignal,
  ): Promise<Session> {
    const session = new Session(connection, budgetMs);
    session.#receive();
    await session.within(() => session.#negotiate(), signal);
    return session;
  }

  /** Whether a protocol feature was negotiated. */
  has(feature: number): boolean {
    return hasBit(this.#protocolFeatures, feature);
  }

  get hasProtocolFeatures(): boolean {
    return hasBit(this.features, VHOST_USER_F_PROTOCOL_FEATURES);
  }

  async #negotiate(): Promise<void> {
    this.features = await this.number(Request.VHOST_USER_GET_FEATURES);
    if (this.hasProtocolFeatures) {
      const { VHOST_USER_GET_PROTOCOL_FEATURES: get } = Request;
      let chosen = await this.number(get) & KNOWN;
      // All that its channel is good for here.
      if (!hasBit(chosen, VHOST_USER_PROTOCOL_F_CONFIG)) {
        chosen &= ~(1n << BigInt(VHOST_USER_PROTOCOL_F_BACKEND_REQ));
      }
      const { VHOST_USER_SET_PROTOCOL_FEATURES: set } = Request;
      await this.set(set, encodeU64(chosen));
      this.#protocolFeatures = chosen;
    }
    if (this.has(VHOST_USER_PROTOCOL_F_MQ)) {
      const { VHOST_USER_GET_QUEUE_NUM: get } = Request;
      this.queues = Number(await this.number(get));
    }
    if (this.has(VHOST_USER_PROTOCOL_F_BACKEND_REQ)) await this.#openChannel();
    await this.set(Request.VHOST_USER_SET_OWNER);
    await this.sync();
  }

  /** Tells `listener` from now on, and soon of what was before. */
  listen(listener: SessionListener): void {
    this.#listener = listener;
    const problem = this.#problem;
    if (this.#changed) queueMicrotask(() => listener.onConfigChange());
    if (problem !== null) queueMicrotask(() => listener.onEnd(problem));
  }

  /** Ends the session if `work` fails for what the back end did, takes longer than the budget, or `signal` says so. */
  async within<T>(
    work: () => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const late = setTimeout(() => this.#late(), this.#budgetMs);
    const leave = () => this.end(new VhostUserError("is needed no more"));
    signal?.addEventListener("abort", leave);
    try {
      return await work();
    } catch (error) {
      if (error instanceof VhostUserError) this.end(error);
      throw error;
    } finally {
      clearTimeout(late);
      signal?.removeEventListener("abort", leave);
    }
  }

  #late(): void {
    const request = this.#pending[0]?.request;
    const what = request === undefined ? "its requests" : requestName(request);
    const seconds = this.#budgetMs / 1000;
    this.end(new VhostUserError(`did not answer ${what} in ${seconds} s`));
  }

  /** The reply to a request that has one; the caller disposes of it. */
  get(request: number, payload?: Uint8Array): Promise<Message> {
    return this.#send(request, payload, [], 0);
  }

  /** The number that a request is answered with. */
  async number(request: number): Promise<bigint> {
    using reply = await this.get(request);
    return decodeU64(reply.payload);
  }

  /** Sends at once what has no reply, and where REPLY_ACK was negotiated waits for the back end's consent. */
  async set(
    request: number,
    payload?: Uint8Array,
    fds: readonly Fd[] = [],
  ): Promise<void> {
    if (await this.ask(request, payload, fds)) return;
    throw new VhostUserError(`refused ${requestName(request)}`);
  }

  /** As `set`; false for what was refused. */
  async ask(
    request: number,
    payload?: Uint8Array,
    fds: readonly Fd[] = [],
  ): Promise<boolean> {
    if (!this.has(VHOST_USER_PROTOCOL_F_REPLY_ACK)) {
      this.#transmit(request, payload, fds, 0);
      return true;
    }
    const flags = VHOST_USER_NEED_REPLY;
    using reply = await this.#send(request, payload, fds, flags);
    return decodeU64(reply.payload) === 0n;
  }

  /** Resolves when the back end has seen all that was sent, also where it acknowledges nothing. */
  async sync(): Promise<void> {
    if (this.has(VHOST_USER_PROTOCOL_F_REPLY_ACK)) return;
    await this.number(Request.VHOST_USER_GET_FEATURES);
  }

  async #send(
    request: number,
    payload: Uint8Array | undefined,
    fds: readonly Fd[],
    flags: number,
  ): Promise<Message> {
    this.#transmit(request, payload, fds, flags);
    const reply = Promise.withResolvers<Message>();
    this.#pending.push({ request, reply });
    return await reply.promise;
  }

  #transmit(
    request: number,
    payload: Uint8Array | undefined,
    fds: readonly Fd[],
    flags: number,
  ): void {
    if (this.#problem !== null) throw this.#problem;
    this.#connection.send(request, payload, fds, flags);
  }

  async #receive(): Promise<void> {
    try {
      for (;;) {
        const message = await this.#connection.receive();
        if (message === null) throw new VhostUserError("hung up");
        this.#deliver(message);
      }
    } catch (error) {
      this.end(asProblem(error));
    }
  }

  #deliver(message: Message): void {
    const pending = this.#pending.shift();
    const expected = pending?.request === message.request &&
      (message.flags & VHOST_USER_REPLY) !== 0;
    if (expected) return pending!.reply.resolve(message);
    using _unexpected = message;
    const problem = new VhostUserError(
      `sent ${requestName(message.request)}, which nobody asked for`,
    );
    pending?.reply.reject(problem);
    throw problem;
  }

  /** The channel for the back end's own requests. */
  async #openChannel(): Promise<void> {
    const [ours, theirs] = UnixSocket.pair();
    using _theirs = theirs;
    this.#channel = new Connection(ours);
    this.#receiveRequests(this.#channel);
    const { VHOST_USER_SET_BACKEND_REQ_FD: request } = Request;
    await this.set(request, undefined, [theirs]);
  }

  async #receiveRequests(channel: Connection): Promise<void> {
    try {
      for (;;) {
        using message = await channel.receive();
        // A back end that has no requests may close it.
        if (message === null) return;
        this.#serve(channel, message);
      }
    } catch (error) {
      this.end(asProblem(error));
    }
  }

  #serve(channel: Connection, { request, flags }: Message): void {
    if (!this.#messages.take()) {
      throw new VhostUserError(`sent over ${MAX_MESSAGES} messages a second`);
    }
    const { VHOST_USER_BACKEND_CONFIG_CHANGE_MSG: change } = BackEndRequest;
    // Before the configuration is asked for: a back end with one thread waits for this.
    if (flags & VHOST_USER_NEED_REPLY) {
      const result = encodeU64(request === change ? 0 : 1);
      channel.send(request, result, [], VHOST_USER_REPLY);
    }
    if (request !== change) return;
    if (this.#listener === null) this.#changed = true;
    else this.#listener.onConfigChange();
  }

  /** Ends it, for what the back end did or because it is needed no more. What waits for a reply is rejected. */
  end(problem: VhostUserError): void {
    if (this.#problem !== null) return;
    this.#problem = problem;
    this.#connection.close();
    this.#channel?.close();
    for (const { reply } of this.#pending.splice(0)) reply.reject(problem);
    this.#listener?.onEnd(problem);
  }
}

function asProblem(error: unknown): VhostUserError {
  return error instanceof VhostUserError
    ? error
    : new VhostUserError(`cannot be heard: ${error}`, { cause: error });
}
