// Thread: main
// A device that another program serves over vhost-user, as its transport sees it: commands become messages; a back end
// that hangs up is looked for again.
//
//   connected ─DRIVER_OK─► live ─hang-up, and it is known what was in flight─► lost ─found in time─► live
//       ▲                   │                                                   └─► DEVICE_NEEDS_RESET
//       └──────reset────────┴─hang-up, and not─► DEVICE_NEEDS_RESET ─reset─► connected, if it is there again
//
import {
  DeviceError,
  DriverError,
  SysError,
  VhostUserError,
} from "../errors.ts";
import type { HostWiring } from "../device/device_set.ts";
import type { OpenQueueEvents } from "../device/kick_path.ts";
import type { DevicePort } from "../plugin.ts";
import { ENOENT } from "../sys/linux.ts";
import {
  DRIVER_OK,
  VIRTIO_MMIO_INT_CONFIG,
  VIRTIO_MMIO_INT_VRING,
} from "../virtio/constants.ts";
import {
  ACTIVATE,
  CONFIG_GENERATION,
  configOf,
  createDevicePage,
  ENABLE,
  INTERRUPT_STATUS,
  PAUSE,
  QUEUE_COUNT,
  RESUME,
  REVOKE,
  STATUS,
  type Words,
  wordsOf,
  WRITE_CONFIG,
} from "../virtio/device_page.ts";
import type { Declaration, DeviceHost } from "../virtio/device_host.ts";
import type { BackEndLink, OpenedBackEnd } from "./back_end_link.ts";
import { type BackEndMemory, FrontRings } from "./front_rings.ts";
import { Retries } from "./retries.ts";
import type { Session } from "./front_session.ts";

/** How long a back end that hung up is looked for. */
const LOOK_MS = 30_000;
/** How long one may take to be there at all: a new process, which loads its modules. */
const START_MS = 30_000;
const EMPTY = new Uint8Array(0);

export interface VhostUserHostOptions extends HostWiring {
  readonly link: BackEndLink;
  /** What `link` opened before, which the host owns; without it `start` waits for the back end. */
  readonly opened?: OpenedBackEnd;
  readonly memory: BackEndMemory;
  readonly openQueue: OpenQueueEvents;
  /** How long a back end that hung up is looked for. */
  readonly lookMs?: number;
}

export class VhostUserHost implements DeviceHost {
  readonly name: string;
  readonly index: number;
  readonly page: SharedArrayBuffer = createDevicePage();
  readonly declared: Promise<void>;
  declaration: Declaration | null = null;
  readonly failed = false;
  readonly kicks = undefined;
  readonly port: DevicePort = { onmessage: null, postMessage: () => {} };
  offered: readonly [number, number] = [0, 0];
  readonly #options: VhostUserHostOptions;
  readonly #words: Words;
  readonly #rings: FrontRings;
  #session: Session | null = null;
  readonly #started = Promise.withResolvers<void>();
  #turn: Promise<unknown> = Promise.resolve();
  /** Ends the search for a back end that hung up. */
  #search = new AbortController();
  readonly #retries = new Retries();
  #adopted = 0;
  /** Configuration space is to be read again. */
  #changed = false;
  #renew = false;
  #closing = false;
  #reported = "";

  constructor(options: VhostUserHostOptions) {
    const { name, index, link, memory, openQueue } = options;
    this.#options = options;
    this.name = name;
    this.index = index;
    this.#words = wordsOf(this.page);
    this.#rings = new FrontRings({
      words: this.#words,
      queues: link.device.queues,
      ordered: link.device.ordered,
      memory,
      open: openQueue,
      onError: (queue) => this.#fail(`gave queue ${queue} up`),
    });
    this.declared = this.#started.promise;
    if (options.opened !== undefined) this.#declare(options.opened);
  }

  start(): void {
    if (this.declaration === null) this.#inTurn(() => this.#begin());
  }

  async #begin(): Promise<void> {
    const { link } = this.#options;
    const { signal } = this.#search;
    const open = async () => this.#declare(await link.open(signal));
    const failure = await this.#retries.run(
      open,
      START_MS,
      signal,
      isGivenUp,
    );
    if (this.declaration !== null) return;
    this.declaration = {
      id: 0,
      features: [],
      needs: [],
      queues: [],
      config: EMPTY,
    };
    this.#started.resolve();
    if (failure === null) return;
    // Of one that is given up, its owner has told why.
    if (!failure.isFinal) this.#report(`its back end ${failure.text}`);
    this.#options.needsReset();
  }

  #declare({ session, config }: OpenedBackEnd): void {
    const { id, queues, needs } = this.#options.link.device;
    this.declaration = { id, features: [], needs, queues, config };
    configOf(this.page).set(config);
    Atomics.store(this.#words, QUEUE_COUNT, queues.length);
    this.#adopt(session);
    this.#started.resolve();
  }

  get usable(): boolean {
    return this.#session !== null || this.#rings.survives;
  }

  #adopt(session: Session): void {
    this.#session = session;
    this.#adopted = performance.now();
    this.offered = this.#options.link.offered(session);
    session.listen({
      onConfigChange: () => this.#configChanged(),
      onEnd: (problem) => this.#ended(session, problem),
    });
  }

  #ended(session: Session, problem: VhostUserError): void {
    if (session !== this.#session) return;
    this.#session = null;
    if (this.#closing) return;
    const lasted = performance.now() - this.#adopted;
    if (lasted > LOOK_MS) this.#retries.reset();
    // One that is being replaced is meant to go.
    if (!this.#renew) this.#report(`its back end ${problem.message}`);
    if (!this.#rings.survives) return this.#options.needsReset();
    this.#inTurn(() => this.#find());
  }

  #report(problem: string): void {
    // A driver may reset a device that is not there as often as it likes.
    if (problem === this.#reported) return;
    this.#reported = problem;
    this.#options.onFault(new DeviceError(this.name, problem));
  }

  #fail(problem: string): void {
    this.#report(`its back end ${problem}`);
    this.#options.needsReset();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  command(command: number, ...args: readonly number[]): Promise<boolean> {
    return this.#inTurn(() =>
      this.#attempt((session) => this.#execute(session, command, args))
    );
  }

  /** Has `work` done in the budget. False when it could not be. */
  async #attempt(
    work: (session: Session | null) => Promise<boolean>,
  ): Promise<boolean> {
    const session = this.#session;
    try {
      if (session === null) return await work(null);
      return await session.within(() => work(session));
    } catch (error) {
      // One of the back end has ended the session.
      if (error instanceof VhostUserError) return false;
      this.#options.needsReset();
      if (!(error instanceof DriverError)) this.#report(`failed: ${error}`);
      else this.#options.onDriverError(error.section, error.message);
      return false;
    }
  }

  async #execute(
    session: Session | null,
    command: number,
    [first = 0, size = 0, value = 0]: readonly number[],
  ): Promise<boolean> {
    switch (command) {
      case ACTIVATE:
        if (session === null) return false;
        await this.#rings.begin(session);
        return true;
      case REVOKE:
        await this.#rings.revoke(session, first);
        return true;
      case ENABLE:
        await this.#rings.enable(session, first);
        return true;
      case WRITE_CONFIG:
        return session !== null &&
          await this.#writeConfig(session, first, size, value);
      case PAUSE:
        await this.#rings.pause(session);
        return true;
      case RESUME:
        await this.#rings.resume(session);
        return true;
      default:
        return false;
    }
  }

  /** What the back end makes of it is what the driver reads. */
  async #writeConfig(
    session: Session,
    offset: number,
    size: number,
    value: number,
  ): Promise<boolean> {
    const bytes = Uint8Array.from({ length: size }, (_, i) => value >>> 8 * i);
    const { link } = this.#options;
    const written = await link.writeConfig(session, offset, bytes);
    if (written) this.#showConfig(await link.readConfig(session));
    return written;
  }

  #showConfig(config: Uint8Array): void {
    const space = configOf(this.page);
    Atomics.add(this.#words, CONFIG_GENERATION, 1);
    space.set(config.subarray(0, this.declaration!.config.length));
    Atomics.add(this.#words, CONFIG_GENERATION, 1);
  }

  /** The back end says so as often as it likes; once more is enough for all that came meanwhile. */
  #configChanged(): void {
    if (this.#changed) return;
    this.#changed = true;
    this.#inTurn(() =>
      this.#attempt(async (session) => {
        this.#changed = false;
        if (session === null) return false;
        this.#showConfig(await this.#options.link.readConfig(session));
        this.#raise(VIRTIO_MMIO_INT_CONFIG);
        return true;
      })
    );
  }

  #raise(cause: number): void {
    if ((Atomics.load(this.#words, STATUS) & DRIVER_OK) === 0) return;
    Atomics.or(this.#words, INTERRUPT_STATUS, cause);
    this.#options.interrupt();
  }

  /** Looks for the back end that hung up while its rings wait; gives up after a while. */
  async #find(): Promise<void> {
    const { lookMs = LOOK_MS } = this.#options;
    const { signal } = this.#search;
    const goOn = () => this.#goOn(signal);
    const failure = await this.#retries.run(goOn, lookMs, signal);
    if (failure !== null) {
      this.#fail(
        `did not come back in ${lookMs / 1000} s: it ${failure.text}`,
      );
    }
  }

  async #goOn(signal: AbortSignal): Promise<void> {
    const { session, config } = await this.#options.link.open(signal);
    await session.within(() => this.#rings.goOn(session), signal);
    this.#showConfig(config);
    this.#adopt(session);
    this.#reported = "";
    // What it gave back before it went may not have been announced.
    this.#raise(VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);
  }

  async reset(command: number | null): Promise<void> {
    this.#search.abort();
    await this.#inTurn(() => this.#reset(command));
  }

  async #reset(command: number | null): Promise<void> {
    this.#search = new AbortController();
    if (command !== null) await this.#stop();
    if (this.#renew) this.#leave("is to be replaced");
    this.#renew = false;
    const { link, opened } = this.#options;
    const gone = this.#session === null && this.declaration?.id !== 0;
    if (!gone || this.#closing) return;
    const { signal } = this.#search;
    const open = async () => {
      const { session, config } = await link.open(signal);
      this.#showConfig(config);
      this.#adopt(session);
      this.#reported = "";
    };
    // A process of ours is on its way back; another program may never come.
    const waitMs = opened === undefined ? START_MS : 0;
    const failure = await this.#retries.run(open, waitMs, signal, isGivenUp);
    const isTold = opened === undefined && failure?.isFinal;
    if (failure === null || isTold) return;
    this.#report(`its back end ${failure.text}`);
  }

  async #stop(): Promise<void> {
    await this.#attempt(async (session) => {
      await this.#rings.end(session);
      return true;
    });
  }

  #leave(reason: string): void {
    const session = this.#session;
    this.#session = null;
    session?.end(new VhostUserError(reason));
  }

  reload(): void {
    this.#renew = true;
    this.#options.needsReset();
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#search.abort();
    await this.#inTurn(() => this.#stop());
    this.#leave("is needed no more");
  }
}

/** The socket of a process of ours is there as long as it is started again and again. */
function isGivenUp(error: unknown): boolean {
  return error instanceof SysError && error.errno === ENOENT;
}
