// Thread: main
// What runs a VM: this process or one of its own, and what either tells.
import type { DeviceError } from "./errors.ts";
import type { MachineStatistics } from "./vcpu/vcpu_set.ts";
import type { DevicePort } from "./plugin.ts";
import type { Walls } from "./sandbox/walls.ts";
import type { BootSourceOptions } from "./image/boot_source.ts";
import type { VmConfig } from "./manifest/config.ts";
import type { TraceEvent, TraceKind } from "./virtio/trace.ts";

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

/** Events of a Vm, by name; each is a CustomEvent with this detail. */
export interface VmEvents {
  /** vCPU 0 runs. */
  started: null;
  /** The guest's kernel panicked. */
  guestpanic: null;
  /** A driver in the guest broke the virtio specification. */
  drivererror: { device: string; section: string; message: string };
  /** A device's code failed. The VM goes on without it until the driver resets it, or for good where it is `absent`. */
  devicefault: DeviceError;
  /** A device has something to say. */
  log: { device: string; message: string };
  exit: VmExit;
  /** What `options.trace` asks for. */
  trace: { device: string; event: TraceEvent };
}

/** Tells an event of the VM. */
export type EmitVmEvent = <Name extends keyof VmEvents>(
  name: Name,
  detail: VmEvents[Name],
) => void;

export interface VmBackend {
  /** ttyS0. */
  readonly serial: {
    readonly readable: ReadableStream<Uint8Array>;
    readonly writable: WritableStream<Uint8Array>;
  };
  /** Messages to and from the device with this name. */
  port(device: string): DevicePort | undefined;
  statistics(): Promise<MachineStatistics>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Has a device's module, which was checked, loaded anew at the driver's next reset, with these options. */
  reload(
    device: string,
    options: Readonly<Record<string, unknown>>,
  ): Promise<void>;
  /** Ends the VM, unless it has ended for another reason. Resolves when everything is given back. */
  end(exit: VmExit): Promise<void>;
}

/** Starts a VM; its first steps may be under way while the manifest is read. */
export interface VmStarter {
  /** Throws a ManifestError or a HostError. */
  start(
    config: VmConfig,
    emit: EmitVmEvent,
    options: StartOptions,
    walls: Walls,
  ): Promise<VmBackend>;
  /** Gives up what is under way. */
  abandon(): void;
}

export interface StartOptions extends BootSourceOptions {
  /** Tell each register access, ring operation or interrupt as a `trace` event. It slows the guest down. */
  readonly trace?: readonly TraceKind[];
}
