// Thread: main
// A VM for whoever embeds it: start, streams, events, pause, stop. It never prints and never ends the process.
import { ConsoleStream } from "./device/console_stream.ts";
import { type DeviceError, ManifestError } from "./errors.ts";
import {
  type BootSourceOptions,
  closeBoot,
  openBoot,
} from "./image/boot_source.ts";
import { log } from "./log.ts";
import {
  type Machine,
  type MachineStatistics,
  startMachine,
} from "./machine.ts";
import type { VmConfig } from "./manifest/config.ts";
import type { DevicePort } from "./plugin.ts";
import type { TraceEvent, TraceKind } from "./virtio/trace.ts";
import { VcpuHandle } from "./vcpu/handle.ts";

/** How a VM ended. `poweroff` and `reboot` are the guest's wish; a reboot ends the VM as well. */
export type ExitReason =
  | "poweroff"
  | "reboot"
  | "panic"
  | "triple-fault"
  | "internal-error"
  | "stopped"
  | "killed"
  | "failure";

export interface VmExit {
  readonly reason: ExitReason;
  /** One line for people. */
  readonly detail: string;
}

/** Events of a {@linkcode Vm}, by name; each is a CustomEvent with this detail. */
export interface VmEvents {
  /** vCPU 0 runs. */
  started: null;
  /** The guest's kernel panicked. */
  guestpanic: null;
  /** A driver in the guest broke the virtio specification. */
  drivererror: { device: string; section: string; message: string };
  /** A device's code failed. The VM goes on without it until the driver resets it. */
  devicefault: DeviceError;
  exit: VmExit;
  /** What `options.trace` asks for. */
  trace: { device: string; event: TraceEvent };
}

export interface VmOptions extends LaunchOptions {
  /** Folder that the paths of a manifest given as an object are relative to; default: the current one. */
  readonly baseDir?: string;
}

export interface LaunchOptions extends BootSourceOptions {
  /** Tell each register access, ring operation or interrupt as a `trace` event. It slows the guest down. */
  readonly trace?: readonly TraceKind[];
}

/** A manifest: a path or URL of a `vm.json`, or its content as an object. */
export type ManifestSource = string | URL | Readonly<Record<string, unknown>>;

/**
 * A running virtual machine.
 *
 * ```ts ignore
 * import { Vm } from "@paddock/paddock";
 * await using vm = await Vm.start("vm.json");
 * vm.console.readable.pipeTo(Deno.stdout.writable, { preventClose: true });
 * const { reason } = await vm.wait(); // "poweroff"
 * ```
 */
export class Vm extends EventTarget implements AsyncDisposable {
  readonly config: VmConfig;
  readonly #exit = Promise.withResolvers<VmExit>();
  #ending: Promise<void> | null = null;
  readonly #assembled = Promise.withResolvers<Machine>();
  #machine!: Machine;
  #console: ConsoleStream | null = null;

  private constructor(config: VmConfig) {
    super();
    this.config = config;
  }

  /**
   * Checks the manifest, assembles the VM and runs it. Deno must run with `--unstable-worker-options`
   * (or `"unstable": ["worker-options"]` in deno.json): devices get permissions of their own.
   * @throws {ManifestError} when the manifest, or a file it names, cannot be used
   * @throws {HostError} when the host cannot run it
   */
  static async start(
    manifest: ManifestSource,
    options: VmOptions = {},
  ): Promise<Vm> {
    // The thread takes a while to come up; it does so while the manifest is read.
    const vcpu0 = new VcpuHandle();
    try {
      const { readManifest } = await import("./manifest/source.ts");
      const config = readManifest(manifest, options.baseDir ?? Deno.cwd());
      return await Vm.launch(config, { ...options, vcpu0 });
    } catch (error) {
      vcpu0.abandon();
      throw error;
    }
  }

  /** As `start`, for a manifest that was checked already, with vCPU 0's thread starting up. */
  static async launch(
    config: VmConfig,
    options: LaunchOptions & { readonly vcpu0: VcpuHandle },
  ): Promise<Vm> {
    if (config.devices.some(({ builtIn }) => !builtIn)) {
      const { checkPlugins } = await import("./device/check_plugins.ts");
      config = await checkPlugins(config);
    }
    const image = await openBoot(config.boot, options);
    try {
      const vm = new Vm(config);
      vm.#machine = await startMachine(config, image, options.vcpu0, {
        onRunning: () => vm.#emit("started", null),
        onPower: (event) => vm.#onPower(event),
        onVcpuExit: (vcpu, { reason, detail }) =>
          vm.#end({
            reason: reason === "triple-fault" || reason === "internal-error"
              ? reason
              : "failure",
            detail: `vCPU ${vcpu}: ${detail}`,
          }),
        onDriverError: (device, section, message) => {
          log("warning", device, message, { section });
          vm.#emit("drivererror", { device, section, message });
        },
        onFault: (error) => {
          log("error", error.device, error.message);
          vm.#emit("devicefault", error);
        },
        onLog: (device, message) => void log("info", device, message),
        onTrace: (device, event) => vm.#emit("trace", { device, event }),
      }, options.trace);
      vm.#console = consoleOf(vm);
      vm.#assembled.resolve(vm.#machine);
      return vm;
    } finally {
      closeBoot(image);
    }
  }

  #emit<Name extends keyof VmEvents>(name: Name, detail: VmEvents[Name]): void {
    this.dispatchEvent(new CustomEvent(name, { detail }));
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

  #onPower(event: "poweroff" | "reboot" | "panic"): void {
    if (event === "panic") this.#emit("guestpanic", null);
    const detail = {
      poweroff: "the guest powered off",
      reboot: "the guest rebooted",
      panic: "the guest's kernel panicked",
    }[event];
    this.#end({ reason: event, detail });
  }

  /** The first reason stands; everything is given back before `wait` resolves. */
  #end(exit: VmExit): Promise<void> {
    return this.#ending ??= this.#stop(exit);
  }

  async #stop(exit: VmExit): Promise<void> {
    // The guest may end while `launch` is still on its way.
    const machine = await this.#assembled.promise;
    try {
      await machine.stop();
    } catch (error) {
      exit = { reason: "failure", detail: `could not be stopped: ${error}` };
    }
    this.#console?.close();
    this.#emit("exit", exit);
    this.#exit.resolve(exit);
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
    return this.#machine.serial;
  }

  /** Messages to and from the device with this name. */
  port(device: string): DevicePort | undefined {
    return this.#machine.devices.hosts.find(({ name }) => name === device)
      ?.port;
  }

  /**
   * Has the device with this name start anew from its module, which may have changed: DEVICE_NEEDS_RESET is set, and
   * the driver's reset brings the new code; until then the old one serves. Its virtio id stays what it was.
   * @throws {ManifestError} when the module cannot be used any more; the old code goes on
   */
  async reload(name: string): Promise<void> {
    const device = this.config.devices.find((each) => each.name === name);
    if (device === undefined) {
      throw new ManifestError("", `There is no device ${name} to reload`);
    }
    const { checkPlugins } = await import("./device/check_plugins.ts");
    await checkPlugins({ ...this.config, devices: [device] });
    this.#machine.devices.hosts.find((host) => host.name === name)?.reload();
  }

  get statistics(): MachineStatistics {
    return this.#machine.statistics;
  }

  /** Resolves when the VM has ended and everything is given back. */
  wait(): Promise<VmExit> {
    return this.#exit.promise;
  }

  /** Resolves when no vCPU runs any more and no device has anything in flight. */
  pause(): Promise<void> {
    return this.#machine.pause();
  }

  /** Resolves when devices and vCPUs run again. */
  resume(): Promise<void> {
    return this.#machine.resume();
  }

  /** Stops the vCPUs, then the devices: what a driver was told is written is on the host. */
  async stop(): Promise<void> {
    await this.#end({ reason: "stopped", detail: "stopped by its owner" });
  }

  /** As `stop`, but says that it was killed. */
  async kill(): Promise<void> {
    await this.#end({ reason: "killed", detail: "killed by its owner" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

function consoleOf(vm: Vm): ConsoleStream | null {
  const device = vm.config.devices.find(({ builtIn, module }) =>
    builtIn && module.includes("/console/")
  );
  const port = device && vm.port(device.name);
  return port === undefined ? null : new ConsoleStream(port);
}
