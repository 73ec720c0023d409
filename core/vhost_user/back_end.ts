// Thread: main
// A device that front ends use by vhost-user: its worker, its lines, and the front ends, one after the other.
import { DeviceError, SysError, VhostUserError } from "../errors.ts";
import { WorkerHost, type WorkerHostOptions } from "../device/worker_host.ts";
import { DEVICE_NEEDS_RESET } from "../virtio/constants.ts";
import { STATUS, wordsOf } from "../virtio/device_page.ts";
import type { Connection } from "./connection.ts";
import type { Listener } from "./listener.ts";
import { QueueLines } from "./queue_lines.ts";
import { BackSession } from "./back_session.ts";

/** How long a front end is left alone after it was told of a change of configuration space. */
const CHANGE_MS = 10;

export interface BackEndOptions extends
  Omit<
    WorkerHostOptions,
    "index" | "ram" | "irqPage" | "kicks" | "needsReset" | "onConfigChange"
  > {
  /** A front end broke the protocol; its connection is closed. */
  readonly onViolation: (message: string) => void;
}

export class BackEnd implements AsyncDisposable {
  readonly host: WorkerHost;
  readonly #options: BackEndOptions;
  readonly #lines = new QueueLines();
  #session: BackSession | null = null;
  /** Of the front end that is served. */
  #connection: Connection | null = null;
  #serving: Promise<void> = Promise.resolve();
  #closing = false;
  /** Configuration space has changed since a front end was told of it. */
  #changed = false;
  #quiet: ReturnType<typeof setTimeout> | undefined;

  constructor(options: BackEndOptions) {
    this.#options = options;
    this.host = new WorkerHost({
      ...options,
      index: 0,
      ram: null,
      irqPage: this.#lines.page,
      needsReset: () => this.#needsReset(),
      onConfigChange: () => this.#configChanged(),
      onDriverError: (section, message) => {
        this.#session?.deviceFailed();
        options.onDriverError(section, message);
      },
      onFault: (error) => {
        this.#session?.deviceFailed();
        // Another process may go on with its queues.
        if (this.host.failed) this.#connection?.close();
        options.onFault(error);
      },
    });
  }

  /** Starts the device; throws a DeviceError when it does not declare itself, what `onFault` was told of. */
  async start(): Promise<void> {
    this.host.start();
    await this.host.declared;
    this.#checkAlive();
    const { length } = this.host.declaration!.queues;
    this.#lines.start(this.host.page, length);
  }

  #checkAlive(): void {
    if (!this.host.failed) return;
    throw new DeviceError(this.host.name, "has failed for good");
  }

  #needsReset(): void {
    Atomics.or(wordsOf(this.host.page), STATUS, DEVICE_NEEDS_RESET);
    this.#session?.deviceFailed();
  }

  /** A device may change it as often as it likes: front ends are told now and then, and of the last change. */
  #configChanged(): void {
    this.#changed = true;
    if (this.#quiet !== undefined) return;
    this.#quiet = setTimeout(() => {
      this.#quiet = undefined;
      if (this.#changed) this.#configChanged();
    }, CHANGE_MS);
    this.#changed = false;
    this.#session?.configChanged();
  }

  /** Serves one front end until it hangs up or breaks the protocol; throws a DeviceError once the device is gone. */
  async serve(connection: Connection): Promise<void> {
    this.#connection = connection;
    const session = new BackSession(connection, this.host, this.#lines);
    this.#session = session;
    this.#serving = session.run().catch((error) => {
      const known = error instanceof VhostUserError ||
        error instanceof SysError;
      if (!known) throw error;
      const hungUp = this.#closing || this.host.failed;
      if (!hungUp) this.#options.onViolation(error.message);
    }).finally(() => this.#session = this.#connection = null);
    await this.#serving;
    this.#checkAlive();
  }

  /** Serves whoever connects, one after the other, until the listener is closed. */
  async serveAll(listener: Listener): Promise<void> {
    for (;;) {
      const connection = await listener.accept();
      if (connection === null || this.#closing) return connection?.close();
      await this.serve(connection);
    }
  }

  /** Hangs up on whoever is served, and serves nobody else. */
  hangUp(): void {
    this.#closing = true;
    this.#connection?.close();
  }

  /** Hangs up, and ends the device: in-flight requests first, then its files. */
  async close(): Promise<void> {
    this.hangUp();
    clearTimeout(this.#quiet);
    await this.#serving.catch(() => {});
    await this.host.close();
    await this.#lines.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
