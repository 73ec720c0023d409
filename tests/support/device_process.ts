// A device in a process of its own, which can be killed and started again.
import { Connection } from "../../core/vhost_user/connection.ts";
import type { DeviceProcessInit } from "../../core/vhost_user/device_process.ts";
import { encodeLine } from "../../core/sys/json_lines.ts";
import { builtIn, MODERN, within } from "./fake_machine.ts";

const ENTRY =
  new URL("../../core/vhost_user/device_process.ts", import.meta.url).href;
const NOTHING = { read: [], write: [], net: [], env: [], run: [], import: [] };

/** A device's process, which is killed at the latest when its test ends. */
export class DeviceProcess implements AsyncDisposable {
  readonly init: DeviceProcessInit;
  #child!: Deno.ChildProcess;

  constructor(folder: string, init: Partial<DeviceProcessInit>) {
    this.init = {
      name: "dev0",
      module: builtIn("rng"),
      options: {},
      grants: NOTHING,
      virtio: MODERN,
      socket: `${folder}/dev0.sock`,
      control: null,
      ...init,
    };
    this.start();
  }

  /** By argument; `stdin` for the other way. */
  start(how: "argument" | "stdin" = "argument"): void {
    const line = encodeLine(this.init);
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--no-check", "--quiet", ENTRY],
        ...how === "argument" ? [new TextDecoder().decode(line).trim()] : [],
      ],
      stdin: how === "stdin" ? "piped" : "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    if (how === "stdin") this.#child.stdin.getWriter().write(line);
  }

  /** Ends it, and returns its exit status and what it printed. */
  async end(
    signal: "SIGKILL" | "SIGTERM",
  ): Promise<{ code: number; text: string }> {
    this.#child.kill(signal);
    return await this.ended();
  }

  /** Its exit status and what it printed, once it has ended by itself. */
  async ended(): Promise<{ code: number; text: string }> {
    const { code, stderr } = await within(this.#child.output());
    return { code, text: new TextDecoder().decode(stderr) };
  }

  /** Connects as soon as it listens. */
  async connect(): Promise<Connection> {
    return await retry(() => Connection.connect(this.init.socket as string));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    if (!this.#child.stderr.locked) await this.#child.stderr.cancel();
    await this.#child.status;
  }
}

/** Does what may fail until a process is up. */
export async function retry<T>(work: () => T): Promise<T> {
  const end = performance.now() + 10_000;
  for (;;) {
    try {
      return work();
    } catch (error) {
      if (performance.now() > end) throw error;
      await new Promise((next) => setTimeout(next, 10));
    }
  }
}
