// Thread: main
// The processes of a VM's devices: each is started with what its device is granted, and started again when it dies.
import { RateLimit } from "../sys/rate_limit.ts";
import { createDisk } from "../device/host_disk.ts";
import { importHosts } from "../device/remote_module.ts";
import { DeviceError, ManifestError } from "../errors.ts";
import {
  type BackEndConfig,
  type DeviceConfig,
  isApart,
  type VmConfig,
} from "../manifest/config.ts";
import type { DevicePort } from "../plugin.ts";
import type { Child } from "../sandbox/child.ts";
import { moduleFolders } from "../sandbox/grants.ts";
import { type SandboxLevel, spawnConfined } from "../sandbox/spawn.ts";
import {
  denoFlags,
  grantedEnvironment,
  vmRules,
} from "../sandbox/vm_permissions.ts";
import { eachLine } from "../sys/text_lines.ts";
import { encodeLine } from "../sys/json_lines.ts";
import { UnixSocket } from "../sys/unix_socket.ts";
import type { TraceEvent, TraceKind } from "../virtio/trace.ts";
import {
  ControlChannel,
  type FromDevice,
  isFromDevice,
  type ToDevice,
} from "./control.ts";
import { removeSocket } from "./claim_socket.ts";
import type { DeviceProcessInit } from "./device_process.ts";

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
/** Lines and messages of a device in a second. */
const MAX_LINES = 100;
const MAX_MESSAGES = 50_000;
const MAX_TEXT = 1000;
/** Messages to a device that is not there; what comes later is lost. */
const MAX_EARLY = 1000;
const SIGKILL = 9;
/** Number of the first descriptor that a child gets beside its streams. */
const FIRST_FD = 3;

/** What devices have to say. */
export interface ProcessEvents {
  onDriverError(device: string, section: string, message: string): void;
  onFault(error: DeviceError): void;
  onLog(device: string, message: string): void;
  onTrace(device: string, event: TraceEvent): void;
}

export interface ProcessOptions {
  /** This VM's own, where sockets go. */
  readonly folder: string;
  readonly sandbox: SandboxLevel;
  readonly trace: readonly TraceKind[];
  /** Bytes of guest RAM. */
  readonly ram: number;
}

export class DeviceProcesses implements AsyncDisposable {
  /** The configuration for the VM, to which these devices are another program's. */
  readonly config: VmConfig;
  readonly #processes: readonly DeviceProcess[];

  constructor(
    config: VmConfig,
    given: Omit<ProcessOptions, "ram">,
    events: ProcessEvents,
  ) {
    const options = { ...given, ram: config.memory };
    this.#processes = config.devices
      .filter((device) => device.isolation === "process" && isApart(device))
      .map((device) => new DeviceProcess(device, options, events));
    this.config = {
      ...config,
      devices: config.devices.map((device) => {
        const process = this.#find(device.name);
        if (process === undefined) return device;
        const virtio = { ...device.virtio, kick: "ioeventfd" } as const;
        return { ...device, virtio, disk: undefined, backEnd: process.backEnd };
      }),
    };
  }

  #find(name: string): DeviceProcess | undefined {
    return this.#processes.find(({ device }) => device.name === name);
  }

  /** Starts them all; they come up while the VM does. Returns what the host cannot confine. */
  async start(): Promise<string[]> {
    const missing: string[] = [];
    for (const process of this.#processes) {
      missing.push(...await process.start());
    }
    return missing;
  }

  /** Messages to and from a device in a process. */
  port(name: string): DevicePort | undefined {
    return this.#find(name)?.port;
  }

  /** Throws a ManifestError where a device that was changed is not one that the VM knows. */
  refuseOther(device: DeviceConfig): void {
    this.#find(device.name)?.refuseOther(device);
  }

  /** Ends a device's process, so that the next one loads the module anew, and with new options. */
  restart(device: DeviceConfig): void {
    this.#find(device.name)?.restart(device);
  }

  /** Ends them all. Call it when the VM has let go of its devices. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.close()));
  }
}

type Control = ControlChannel<FromDevice, ToDevice>;

/** A device talks too much to be heard. */
class RateError extends Error {}

class DeviceProcess {
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
  readonly #messages = new RateLimit(MAX_MESSAGES);
  /** For its sockets; those of the other devices are out of its reach. */
  readonly #folder: string;
  readonly #early: unknown[] = [];
  #control: Control | null = null;
  #child: Child | null = null;
  #supervised: Promise<void> | null = null;
  /** One of its processes has declared the device. */
  #wasThere = false;
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
    if (disk !== undefined) createDisk(disk, `devices[${index}]`);
    const child = await this.#spawn();
    this.#supervised = this.#supervise(child);
    return child.missing;
  }

  async #spawn(): Promise<Child> {
    const { name, index, module, options, disk, virtio } = this.device;
    const { sandbox, trace } = this.#options;
    // The process makes no sockets: it gets those that it needs.
    using stack = new DisposableStack();
    removeSocket(this.backEnd.socket);
    const front = stack.use(UnixSocket.bindTo(this.backEnd.socket));
    const [ours, theirs] = UnixSocket.pair();
    stack.use(theirs);
    // Until somebody listens to it.
    using unheard = new DisposableStack();
    unheard.use(ours);
    const grants = this.device.permissions;
    const permissions = {
      ...grants,
      read: [...grants.read, ...moduleFolders(module)],
      import: [...grants.import, ...importHosts(module)],
    };
    const child = await spawnConfined({
      // What the device's modules import is held by the permissions of its process, whatever the VM's are.
      sandbox: sandbox === "off" ? "deno" : sandbox,
      entry: new URL("./device_process.ts", import.meta.url),
      permissions: denoFlags(permissions),
      env: grantedEnvironment(grants),
      landlock: { ...vmRules(permissions), devices: [] },
      seccomp: {
        run: grants.run.length > 0,
        write: grants.write.length > 0,
        sockets: grants.net.length > 0 ? "inet" : "none",
      },
      memory: {
        bytes: MEMORY,
        workers: WORKERS,
        // Guest RAM, while it is being mapped.
        spare: 2 * this.#options.ram,
      },
      fds: [front.fd, theirs.fd],
      audit: {
        granted: permissions,
        field: `devices[${index}].permissions`,
        onRefused: (attempt) => this.#events.onLog(name, attempt),
      },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    });
    // What it prints is neither the guest's nor ours.
    for (const stream of [child.stdout!, child.stderr!]) {
      eachLine(stream, (line) => {
        if (this.#lines.take()) this.#events.onLog(name, line);
      });
    }
    this.#child = child;
    const init: DeviceProcessInit = {
      name,
      module,
      options,
      grants,
      disk,
      virtio,
      trace,
      socket: FIRST_FD,
      control: FIRST_FD + 1,
    };
    const input = child.stdin!.getWriter();
    // One that died at once is told by its status.
    input.write(encodeLine(init)).then(() => input.close()).catch(() => {});
    unheard.move();
    this.#listen(child, new ControlChannel(ours, isFromDevice));
    return child;
  }

  /** Hears one process until it ends. */
  async #listen(child: Child, control: Control): Promise<void> {
    this.#control = control;
    for (const data of this.#early.splice(0)) this.port.postMessage(data);
    try {
      for await (const message of control.messages()) this.#receive(message);
    } catch (error) {
      this.#fault(
        error instanceof RateError
          ? error.message
          : "sent something else than messages",
      );
      child.kill(SIGKILL);
    }
    if (this.#control === control) this.#control = null;
  }

  #receive(message: FromDevice): void {
    const { name } = this.device;
    if (!this.#messages.take()) {
      throw new RateError(`sent over ${MAX_MESSAGES} messages in a second`);
    }
    switch (message.type) {
      case "declared":
        this.#wasThere = true;
        return;
      case "port":
        return this.#deliver(message.data);
      case "trace":
        return this.#events.onTrace(name, message.event);
    }
    if (!this.#lines.take()) return;
    const text = message.message.replace(/\s+/g, " ").slice(0, MAX_TEXT);
    switch (message.type) {
      case "log":
        return this.#events.onLog(name, text);
      case "failed":
        return this.#fault(text.replace(`device ${name}: `, ""));
      case "driver-error":
        return this.#events.onDriverError(
          name,
          message.section.slice(0, MAX_TEXT),
          text,
        );
    }
  }

  /** What the embedder's listener throws does not end the device. */
  #deliver(data: unknown): void {
    try {
      this.port.onmessage?.(data);
    } catch (error) {
      this.#fault(`a listener of its port failed: ${error}`);
    }
  }

  #fault(problem: string, absent = false): void {
    this.#events.onFault(
      new DeviceError(this.device.name, problem, { absent }),
    );
  }

  async #supervise(child: Child): Promise<void> {
    for (let deaths = 1;; deaths++) {
      const begin = performance.now();
      const { code } = await child.status;
      if (this.#closing) return;
      if (!this.#wasThere && !this.#restarting) {
        // What it failed at, the next one would.
        return this.#giveUp(
          `its process ended with status ${code} before the device was there; correct it and start the VM again`,
        );
      }
      if (!this.#restarting) {
        this.#fault(`its process ended with status ${code}`);
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
    this.#fault(problem, !this.#wasThere);
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
