// A device in a process of its own, which can be killed and started again.
import type { Child } from "../../core/sandbox/child.ts";
import { spawnConfined } from "../../core/sandbox/spawn.ts";
import { encodeLine } from "../../core/sys/json_lines.ts";
import { UnixSocket } from "../../core/sys/unix_socket.ts";
import { removeSocket } from "../../core/vhost_user/claim_socket.ts";
import type { Connection } from "../../core/vhost_user/connection.ts";
import {
  ControlChannel,
  type FromDevice,
  isFromDevice,
  type ToDevice,
} from "../../core/vhost_user/control.ts";
import type { DeviceProcessInit } from "../../core/vhost_user/device_process.ts";
import { builtIn, MODERN } from "./fake_machine.ts";
import { within } from "./wait.ts";
import { NOTHING } from "./permissions.ts";
import { connect } from "./connections.ts";

const ENTRY = new URL(
  "../../core/vhost_user/device_process.ts",
  import.meta.url,
);
const SIGNALS = { SIGKILL: 9, SIGTERM: 15 } as const;

/** A device's process, which is killed at the latest when its test ends. */
export class DeviceProcess implements AsyncDisposable {
  readonly init: DeviceProcessInit;
  readonly socket: string;
  /** Its owner's end of the control connection. */
  control!: ControlChannel<FromDevice, ToDevice>;
  #child!: Child;
  #printed!: Promise<string>;

  private constructor(folder: string, init: Partial<DeviceProcessInit>) {
    this.socket = `${folder}/dev0.sock`;
    this.init = {
      name: "dev0",
      module: builtIn("rng"),
      options: {},
      grants: NOTHING,
      virtio: MODERN,
      socket: 3,
      control: 4,
      ...init,
    };
  }

  static async spawn(
    folder: string,
    init: Partial<DeviceProcessInit>,
  ): Promise<DeviceProcess> {
    const device = new DeviceProcess(folder, init);
    await device.start();
    return device;
  }

  async start(): Promise<void> {
    using stack = new DisposableStack();
    removeSocket(this.socket);
    const front = stack.use(UnixSocket.bindTo(this.socket));
    const [ours, theirs] = UnixSocket.pair();
    stack.use(theirs);
    this.control = new ControlChannel<FromDevice, ToDevice>(ours, isFromDevice);
    this.#child = await spawnConfined({
      sandbox: "off",
      entry: ENTRY,
      permissions: [],
      fds: [front.fd, theirs.fd],
      stdin: "piped",
      stdout: "null",
      stderr: "piped",
    });
    this.#printed = new Response(this.#child.stderr).text();
    const input = this.#child.stdin!.getWriter();
    await input.write(encodeLine(this.init));
    await input.close();
  }

  /** Ends it, and returns its exit status and what it printed. */
  async end(
    signal: "SIGKILL" | "SIGTERM",
  ): Promise<{ code: number; text: string }> {
    this.#child.kill(SIGNALS[signal]);
    return await this.ended();
  }

  /** Its exit status and what it printed, once it has ended by itself. */
  async ended(): Promise<{ code: number; text: string }> {
    const { code } = await within(this.#child.status);
    return { code, text: await within(this.#printed) };
  }

  /** Connects as soon as it listens. */
  async connect(): Promise<Connection> {
    return await retry(() => connect(this.socket));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
    await this.#printed;
    await this.control.close();
  }
}

/** Does what may fail until a process is up. */
export async function retry<T>(work: () => T): Promise<T> {
  const end = performance.now() + 30_000;
  for (;;) {
    try {
      return work();
    } catch (error) {
      if (performance.now() > end) throw error;
      await new Promise((next) => setTimeout(next, 10));
    }
  }
}
