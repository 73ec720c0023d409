// Thread: main
// The processes of a VM's devices: those that are not trusted, each with a supervisor.
import {
  type DeviceConfig,
  isApart,
  type VmConfig,
} from "../manifest/config.ts";
import type { DevicePort } from "../plugin.ts";
import { DeviceSupervisor, type ProcessOptions } from "./device_supervisor.ts";
import type { ProcessEvents } from "./process_listener.ts";

export class DeviceProcesses implements AsyncDisposable {
  /** The configuration for the VM, to which these devices are another program's. */
  readonly config: VmConfig;
  readonly #processes: readonly DeviceSupervisor[];

  constructor(
    config: VmConfig,
    given: Omit<ProcessOptions, "ram">,
    events: ProcessEvents,
  ) {
    const options = { ...given, ram: config.memory };
    this.#processes = config.devices
      .filter((device) => device.isolation === "process" && isApart(device))
      .map((device) => new DeviceSupervisor(device, options, events));
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

  #find(name: string): DeviceSupervisor | undefined {
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
