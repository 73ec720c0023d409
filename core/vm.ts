// Thread: main
// A VM for whoever embeds it: start, streams, events, pause, stop. It never prints and never ends the process.
import { ConsoleStream } from "./device/console_stream.ts";
import { ManifestError } from "./errors.ts";
import { log } from "./log.ts";
import type { MachineStatistics } from "./vcpu/vcpu_set.ts";
import { isApart, type VmConfig } from "./manifest/config.ts";
import type { Manifest } from "./manifest/manifest.ts";
import type { DevicePort } from "./plugin.ts";
import type {
  EmitVmEvent,
  StartOptions,
  VmBackend,
  VmEvents,
  VmExit,
  VmStarter,
} from "./vm_backend.ts";
import type { CgroupLimits } from "./sandbox/cgroup.ts";
import { tellMissing } from "./sandbox/missing.ts";
import {
  openWalls,
  type SandboxLevel,
  type WallOptions,
  type Walls,
} from "./sandbox/walls.ts";
import { nextTask } from "./sys/next_task.ts";
import { RunFolder } from "./sys/run_folder.ts";
import type { DeviceProcesses } from "./vhost_user/device_processes.ts";

export type { ExitReason, VmEvents, VmExit } from "./vm_backend.ts";
export type { SandboxLevel };

export interface VmOptions extends LaunchOptions {
  /** Folder that the paths of a manifest given as an object are relative to; default: the current one. */
  readonly baseDir?: string;
}

export interface LaunchOptions extends StartOptions, WallOptions {}

/** What is there before the configuration is. */
export async function starterOf(
  { sandbox = "strict" }: LaunchOptions,
): Promise<VmStarter> {
  if (sandbox === "off") return (await import("./local_vm.ts")).localStarter();
  return (await import("./remote_vm.ts")).remoteStarter(sandbox);
}

/** A manifest: a path or URL of a `vm.json`, or its content as an object. */
export type ManifestSource = string | URL | Manifest;

/** What the log gets of an event, at once, whether the start succeeds or not. */
const RECORDED: {
  readonly [Name in keyof VmEvents]?: (detail: VmEvents[Name]) => void;
} = {
  drivererror: ({ device, section, message }) =>
    log("warning", device, message, { section }),
  devicefault: ({ device, message }) =>
    log("error", device, message.replace(`device ${device}: `, "")),
  log: ({ device, message }) => log("info", device, message),
};

/**
 * A running virtual machine.
 *
 * ```ts ignore
 * import { Vm } from "@paddock/paddock";
 *
 * await using vm = await Vm.start("vm.json");
 * vm.on("devicefault", ({ message }) => console.error(message));
 * await vm.console?.readable.pipeTo(Deno.stdout.writable);
 * const { reason } = await vm.wait();
 * Deno.exitCode = reason === "poweroff" ? 0 : 1;
 * ```
 */
export class Vm extends EventTarget implements AsyncDisposable {
  readonly config: VmConfig;
  readonly #exit = Promise.withResolvers<VmExit>();
  #backend!: VmBackend;
  #walls!: Walls;
  #processes: DeviceProcesses | null = null;
  readonly #owned = Promise.withResolvers<AsyncDisposableStack>();
  #console: ConsoleStream | null = null;
  /** Events from before anybody could listen; null once somebody can. */
  #early: (() => void)[] | null = [];

  private constructor(config: VmConfig) {
    super();
    this.config = config;
  }

  /**
   * Checks the manifest, assembles the VM and runs it. Deno must run with `--unstable-worker-options`
   * (or `"unstable": ["worker-options"]` in deno.json): devices get permissions of their own.
   * @throws {ManifestError} when the manifest, a file it names, or an option cannot be used
   * @throws {HostError} when the host cannot run it
   */
  static async start(
    manifest: ManifestSource,
    options: VmOptions = {},
  ): Promise<Vm> {
    const starter = await starterOf(options);
    try {
      const { readManifest } = await import("./manifest/source.ts");
      const config = readManifest(manifest, options.baseDir ?? Deno.cwd());
      return await Vm.launch(config, { ...options, starter });
    } catch (error) {
      starter.abandon();
      throw error;
    }
  }

  /** As `start`, for a manifest that was checked already. */
  static async launch(
    config: VmConfig,
    options: LaunchOptions & { readonly starter: VmStarter },
  ): Promise<Vm> {
    const vm = new Vm(config);
    await using stack = new AsyncDisposableStack();
    // The VM's end is told when its devices' processes are gone too.
    const emit: EmitVmEvent = (name, detail) => {
      if (name !== "exit") return vm.#emit(name, detail);
      vm.#owned.promise.then((owned) => owned.disposeAsync())
        .catch((error) => log("error", "vm", `not all is given back: ${error}`))
        .then(() => vm.#exited(detail as VmExit));
    };
    const walls = openWalls(options, limitsOf(config), stack);
    vm.#walls = walls;
    tellMissing(walls.cgroup?.missing ?? []);
    const inner = config.devices.some(isApart)
      ? await vm.#startProcesses(options, stack, emit)
      : config;
    vm.#backend = await options.starter.start(inner, emit, options, walls);
    vm.#owned.resolve(stack.move());
    vm.#console = consoleOf(vm);
    vm.#exit.promise.then(() => vm.#console?.close());
    // Whoever awaits this hears of what happened meanwhile.
    nextTask().then(() => {
      const early = vm.#early ?? [];
      vm.#early = null;
      for (const emit of early) emit();
    });
    return vm;
  }

  /** Asks plugins what they declare, and starts the devices that have processes of their own. */
  async #startProcesses(
    { trace = [] }: LaunchOptions,
    stack: AsyncDisposableStack,
    emit: EmitVmEvent,
  ): Promise<VmConfig> {
    const { checkPlugins } = await import("./device/check_plugins.ts");
    const { DeviceProcesses } = await import(
      "./vhost_user/device_processes.ts"
    );
    const { path: folder } = stack.use(await RunFolder.create());
    const processes = new DeviceProcesses(
      await checkPlugins(this.config, this.#walls),
      { folder, walls: this.#walls, trace },
      {
        onDriverError: (device, section, message) =>
          emit("drivererror", { device, section, message }),
        onFault: (error) => emit("devicefault", error),
        onLog: (device, message) => emit("log", { device, message }),
        onTrace: (device, event) => emit("trace", { device, event }),
      },
    );
    this.#processes = stack.use(processes);
    tellMissing(await processes.start());
    return processes.config;
  }

  #exited(exit: VmExit): void {
    this.#emit("exit", exit);
    this.#exit.resolve(exit);
  }

  #emit<Name extends keyof VmEvents>(name: Name, detail: VmEvents[Name]): void {
    RECORDED[name]?.(detail);
    const dispatch = () =>
      void this.dispatchEvent(new CustomEvent(name, { detail }));
    if (this.#early === null) dispatch();
    else this.#early.push(dispatch);
  }

  /** Typed form of `addEventListener`. */
  on<Name extends keyof VmEvents>(
    name: Name,
    listener: (detail: VmEvents[Name]) => void,
  ): void {
    this.addEventListener(
      name,
      (event) => listener((event as CustomEvent<VmEvents[Name]>).detail),
    );
  }

  /** The streams of the first console device, hvc0; null without one. */
  get console(): ConsoleStream | null {
    return this.#console;
  }

  /** ttyS0. */
  get serial(): {
    readonly readable: ReadableStream<Uint8Array>;
    readonly writable: WritableStream<Uint8Array>;
  } {
    return this.#backend.serial;
  }

  /** Messages to and from the device with this name. */
  port(device: string): DevicePort | undefined {
    return this.#processes?.port(device) ?? this.#backend.port(device);
  }

  /**
   * Has the device with this name start anew from its module, which may have changed: DEVICE_NEEDS_RESET is set, and
   * the driver's reset brings the new code; until then the old one serves. Its virtio id, its queues and the size of its
   * configuration space are to stay what they were, for the driver knows them.
   * @throws {ManifestError} when the module cannot be used any more, or these of a device with a process of its own have
   * changed; the old code goes on
   */
  async reload(name: string): Promise<void> {
    const device = this.config.devices.find((each) => each.name === name);
    if (device === undefined) {
      throw new ManifestError("", `There is no device ${name} to reload`);
    }
    const { checkPlugins } = await import("./device/check_plugins.ts");
    const config = { ...this.config, devices: [device] };
    const [checked] = (await checkPlugins(config, this.#walls)).devices;
    this.#processes?.refuseOther(checked!);
    await this.#backend.reload(name, checked!.options);
    this.#processes?.restart(checked!);
  }

  /** Counters since the start. */
  statistics(): Promise<MachineStatistics> {
    return this.#backend.statistics();
  }

  /** Resolves when the VM has ended and everything is given back. */
  wait(): Promise<VmExit> {
    return this.#exit.promise;
  }

  /** Resolves when no vCPU runs any more and no device has anything in flight. */
  pause(): Promise<void> {
    return this.#backend.pause();
  }

  /** Resolves when devices and vCPUs run again. */
  resume(): Promise<void> {
    return this.#backend.resume();
  }

  /** Stops the vCPUs, then the devices: what a driver was told is written is on the host. */
  async stop(): Promise<void> {
    await this.#backend.end({
      reason: "stopped",
      detail: "stopped by its owner",
    });
    await this.wait();
  }

  /** As `stop`, but says that it was killed. */
  async kill(): Promise<void> {
    await this.#backend.end({
      reason: "killed",
      detail: "killed by its owner",
    });
    await this.wait();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** For what V8 and Deno need beside guest RAM. */
const PROCESS_MEMORY = 512 * 2 ** 20;
const PROCESS_THREADS = 128;
const PAGE_TABLE_RATIO = 512;

/** What a cgroup lets the machine have: more than it needs, and less than the host. */
function limitsOf({ memory, cpus, devices }: VmConfig): CgroupLimits {
  const processes = 1 + devices.filter(isApart).length;
  return {
    // Page tables are counted too: eight bytes a page in each process that has guest RAM, and KVM's own.
    memory: memory + (processes + 1) * Math.ceil(memory / PAGE_TABLE_RATIO) +
      processes * PROCESS_MEMORY,
    cpus: cpus + processes,
    pids: cpus + processes * PROCESS_THREADS,
  };
}

function consoleOf(vm: Vm): ConsoleStream | null {
  const device = vm.config.devices.find(({ builtIn, module }) =>
    builtIn && module.includes("/console/")
  );
  const port = device && vm.port(device.name);
  return port === undefined ? null : new ConsoleStream(port);
}
