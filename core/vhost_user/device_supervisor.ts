// Thread: main
// The process of one device: started with what the device is granted, and started again when it dies.
import { RateLimit } from "../sys/rate_limit.ts";
import { createDisk } from "../device/host_disk.ts";
import { importHosts } from "../device/remote_module.ts";
import { ManifestError } from "../errors.ts";
import type { BackEndConfig, DeviceConfig } from "../manifest/config.ts";
import type { DevicePort } from "../plugin.ts";
import type { Child } from "../sandbox/child.ts";
import { FIRST_FD } from "../sandbox/closing.ts";
import { moduleFolders } from "../sandbox/grants.ts";
import { type ConfinedOptions, spawnConfined } from "../sandbox/spawn.ts";
import type { Walls } from "../sandbox/walls.ts";
import {
  denoFlags,
  grantedEnvironment,
  vmRules,
} from "../sandbox/vm_permissions.ts";
import { eachLine } from "../sys/text_lines.ts";
import { encodeLine } from "../sys/json_lines.ts";
import { SIGKILL } from "../sys/linux.ts";
import { UnixSocket } from "../sys/unix_socket.ts";
import type { TraceKind } from "../virtio/trace.ts";
import {
  ControlChannel,
  type FromDevice,
  isFromDevice,
  type ToDevice,
} from "./control.ts";
import { removeSocket, replaceSocket } from "./claim_socket.ts";
import type { DeviceProcessInit } from "./device_process.ts";
import { type ProcessEvents, ProcessListener } from "./process_listener.ts";

/** Private memory of a device beyond what its process starts with; guest RAM is shared, and not counted. */
const MEMORY = 512 * 2 ** 20;
/** The device's own worker, and those for its kicks and interrupts. */
const WORKERS = 3;
/** A device that dies at once dies again; it is given up after this many times without a minute of life. */
const MAX_DEATHS = 5;
const LIFE_MS = 60_000;
/** Between a death and the next start. */
const PAUSE_MS = 100;
const END_MS = 5_000;
/** Lines of log of a device in a second. */
const MAX_LINES = 100;
/** Messages to a device that is not there; what comes later is lost. */
const MAX_EARLY = 1000;

export interface ProcessOptions {
  /** This VM's own, where sockets go. */
  readonly folder: string;
  readonly walls: Walls;
  readonly trace: readonly TraceKind[];
  /** Bytes of guest RAM. */
  readonly ram: number;
}

type Control = ControlChannel<FromDevice, ToDevice>;

export class DeviceSupervisor {
  device: DeviceConfig;
  readonly backEnd: BackEndConfig;
  readonly port: DevicePort = {
    onmessage: null,
    postMessage: (data) => {
      if (this.#control !== null) this.#control.send({ type: "port", data });
      else if (this.#early.length < MAX_EARLY) this.#early.push(data);
    },
  };
  readonly #options: ProcessOptions;
  readonly #events: ProcessEvents;
  readonly #lines = new RateLimit(MAX_LINES);
  readonly #listener: ProcessListener;
  /** For its sockets; those of the other devices are out of its reach. */
  readonly #folder: string;
  readonly #early: unknown[] = [];
  #control: Control | null = null;
  #child: Child | null = null;
  #supervised: Promise<void> | null = null;
  /** All that its process had to say. */
  #heard: Promise<void> = Promise.resolve();
  #restarting = false;
  #closing = false;

  constructor(
    device: DeviceConfig,
    options: ProcessOptions,
    events: ProcessEvents,
  ) {
    const { id, queues, configSize, needs } = device.declared!;
    this.device = device;
    this.#options = options;
    this.#events = events;
    this.#listener = new ProcessListener(
      device.name,
      this.port,
      events,
      this.#lines,
    );
    this.#folder = `${options.folder}/${device.index}`;
    this.backEnd = {
      starting: true,
      socket: `${this.#folder}/socket`,
      id,
      queues,
      needs,
      config: configSize,
      withoutConfig: null,
      ordered: false,
    };
  }

  async start(): Promise<readonly string[]> {
    const { disk, index } = this.device;
    Deno.mkdirSync(this.#folder, { mode: 0o700 });
    if (disk !== undefined) {
      createDisk(disk, `devices[${index}]`, this.#options.walls.user);
    }
    const child = await this.#spawn();
    this.#supervised = this.#supervise(child);
    return child.missing;
  }

  async #spawn(): Promise<Child> {
    // The process makes no sockets: it gets those that it needs.
    using stack = new DisposableStack();
    const front = stack.use(replaceSocket(this.backEnd.socket));
    const [ours, theirs] = UnixSocket.pair();
    stack.use(theirs);
    // Until somebody listens to it.
    using unheard = new DisposableStack();
    unheard.use(ours);
    const child = await spawnConfined(this.#confined([front.fd, theirs.fd]));
    // What it prints is neither the guest's nor ours.
    for (const stream of [child.stdout!, child.stderr!]) {
      eachLine(stream, (line) => {
        if (this.#lines.take()) this.#events.onLog(this.device.name, line);
      });
    }
    this.#child = child;
    const input = child.stdin!.getWriter();
    // One that died at once is told by its status.
    input.write(encodeLine(this.#init())).then(() => input.close())
      .catch(() => {});
    unheard.move();
    this.#heard = this.#listen(child, new ControlChannel(ours, isFromDevice));
    return child;
  }

  #confined(fds: readonly number[]): ConfinedOptions {
    const { name, index, module, permissions: grants } = this.device;
    const { walls, ram } = this.#options;
    const permissions = {
      ...grants,
      read: [...grants.read, ...moduleFolders(module)],
      import: [...grants.import, ...importHosts(module)],
    };
    return {
      ...walls,
      // What the device's modules import is held by the permissions of its process, whatever the VM's are.
      sandbox: walls.sandbox === "off" ? "deno" : walls.sandbox,
      entry: new URL("./device_process.ts", import.meta.url),
      permissions: denoFlags(permissions),
      env: grantedEnvironment(grants),
      landlock: { ...vmRules(permissions), devices: [] },
      seccomp: {
        run: grants.run.length > 0,
        write: grants.write.length > 0,
        sockets: grants.net.length > 0 ? "inet" : "none",
        paths: false,
      },
      // Guest RAM is spare memory while it is being mapped.
      memory: { bytes: MEMORY, workers: WORKERS, spare: 2 * ram },
      isExpendable: true,
      fds,
      audit: {
        granted: permissions,
        field: `devices[${index}].permissions`,
        onRefused: (attempt) => this.#events.onLog(name, attempt),
      },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    };
  }

  #init(): DeviceProcessInit {
    const { name, module, options, permissions, disk, virtio } = this.device;
    return {
      name,
      module,
      options,
      grants: permissions,
      disk,
      virtio,
      trace: this.#options.trace,
      socket: FIRST_FD,
      control: FIRST_FD + 1,
    };
  }

  /** Hears one process until it ends. */
  async #listen(child: Child, control: Control): Promise<void> {
    this.#control = control;
    for (const data of this.#early.splice(0)) this.port.postMessage(data);
    if (!await this.#listener.listen(control)) child.kill(SIGKILL);
    if (this.#control === control) this.#control = null;
  }

  async #supervise(child: Child): Promise<void> {
    for (let deaths = 1;; deaths++) {
      const begin = performance.now();
      const { code } = await child.status;
      // What it said last may be on its way still.
      await this.#heard;
      if (this.#closing) return;
      if (!this.#listener.wasThere && !this.#restarting) {
        // What it failed at, the next one would.
        return this.#giveUp(
          `its process ended with status ${code} before the device was there; correct it and start the VM again`,
        );
      }
      if (!this.#restarting) {
        this.#listener.fault(`its process ended with status ${code}`);
      }
      if (this.#restarting || performance.now() - begin > LIFE_MS) deaths = 0;
      this.#restarting = false;
      if (deaths > MAX_DEATHS) {
        return this.#giveUp(
          `its process ended ${deaths} times; start the VM again`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      if (this.#closing) return;
      try {
        child = await this.#spawn();
      } catch (error) {
        return this.#giveUp(`its process cannot be started again: ${error}`);
      }
      // It came up while the VM ended.
      if (this.#closing) child.kill(SIGKILL);
    }
  }

  /** Nobody waits for it any more. */
  #giveUp(problem: string): void {
    removeSocket(this.backEnd.socket);
    this.#listener.fault(problem, !this.#listener.wasThere);
  }

  refuseOther({ index, declared }: DeviceConfig): void {
    const { id, queues, config } = this.backEnd;
    const same = declared!.id === id && declared!.configSize === config &&
      `${declared!.queues}` === `${queues}`;
    if (same) return;
    throw new ManifestError(
      `devices[${index}].use`,
      "has another id, queues or size of configuration space than the running machine was told of; start it again",
    );
  }

  restart(device: DeviceConfig): void {
    this.device = device;
    this.#restarting = true;
    this.#end();
  }

  /** What is in flight is finished first, if that does not take long. */
  #end(): void {
    const child = this.#child;
    child?.kill();
    const late = setTimeout(() => child?.kill(SIGKILL), END_MS);
    child?.status.then(() => clearTimeout(late));
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#end();
    await this.#child?.status;
    await this.#supervised;
  }
}
