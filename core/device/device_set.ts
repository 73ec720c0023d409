// Thread: main
// The devices of one VM: their disks, hosts and register files, and what happens when one fails.
import type { Region } from "../bus/address_space.ts";
import type { DeviceError } from "../errors.ts";
import type { DeviceConfig, VirtioConfig } from "../manifest/config.ts";
import type { SharedRam } from "../memory/guest_memory.ts";
import { VIRTIO_MMIO_BASE, VIRTIO_MMIO_STRIDE } from "../memory/layout.ts";
import {
  DEVICE_NEEDS_RESET,
  DRIVER_OK,
  VIRTIO_MMIO_INT_CONFIG,
} from "../virtio/constants.ts";
import {
  INTERRUPT_STATUS,
  PAUSE,
  RESUME,
  STATUS,
  wordsOf,
} from "../virtio/device_page.ts";
import { LegacyTransport } from "../virtio/legacy_transport.ts";
import {
  limitTrace,
  type TraceEvent,
  type TraceKind,
  traceRegisters,
} from "../virtio/trace.ts";
import { MmioTransport } from "../virtio/mmio_transport.ts";
import type { DeviceHost, DeviceKicks } from "../virtio/device_host.ts";
import { WorkerHost } from "./worker_host.ts";
import type { HostDisk } from "./host_disk.ts";
import type { Interrupts } from "./interrupts.ts";

/** What devices have to say to whoever holds the VM. */
export interface DeviceEvents {
  /** The guest's driver broke the specification; told once a kind and device. */
  onDriverError(device: string, section: string, message: string): void;
  onFault(error: DeviceError): void;
  onLog(device: string, message: string): void;
  onTrace(device: string, event: TraceEvent): void;
}

/** How the host of a device reaches those who are to hear of it. */
export interface HostWiring {
  readonly name: string;
  readonly index: number;
  readonly onDriverError: (section: string, message: string) => void;
  readonly onFault: (error: DeviceError) => void;
  readonly needsReset: () => void;
  readonly onLog: (message: string) => void;
  /** An edge on the device's interrupt line. */
  readonly interrupt: () => void;
}

/** The host of a device that is not in a worker here; undefined for one that is. */
export type HostElsewhere = (wiring: HostWiring) => DeviceHost | undefined;

/** Kinds of violations that are told of a device; a plugin could make up as many as it likes. */
const MAX_REPORTS = 100;
/** Characters of a message that tell its kind. */
const MAX_KIND = 100;

export class DeviceSet {
  readonly hosts: readonly DeviceHost[];
  readonly regions: readonly Region[];
  readonly #disks: readonly (HostDisk | undefined)[];
  readonly #interrupts: Interrupts;
  readonly #events: DeviceEvents;
  readonly #trace: readonly TraceKind[];
  #paused = false;

  /** Opens and locks the disks; throws a ManifestError when one cannot be had. */
  constructor(
    configs: readonly DeviceConfig[],
    ram: SharedRam,
    interrupts: Interrupts,
    events: DeviceEvents,
    disks: readonly (HostDisk | undefined)[],
    trace: readonly TraceKind[],
    kicksOf: (config: DeviceConfig) => DeviceKicks | undefined,
    hostElsewhere: HostElsewhere,
  ) {
    this.#trace = trace;
    this.#disks = disks;
    this.#interrupts = interrupts;
    this.#events = events;
    this.hosts = configs.map((config) => {
      const wiring = this.#wiringOf(config);
      return hostElsewhere(wiring) ??
        this.#createHost(config, wiring, ram, kicksOf(config));
    });
    this.regions = this.hosts.map((host, i) =>
      this.#createRegion(host, configs[i]!.virtio)
    );
  }

  #wiringOf({ name, index }: DeviceConfig): HostWiring {
    return {
      name,
      index,
      onDriverError: this.#once(name),
      onFault: (error) => this.#events.onFault(error),
      needsReset: () => this.#needsReset(index),
      onLog: (message) => this.#events.onLog(name, message),
      interrupt: () => this.#interrupts.signal(index),
    };
  }

  #createHost(
    config: DeviceConfig,
    wiring: HostWiring,
    ram: SharedRam,
    kicks: DeviceKicks | undefined,
  ): DeviceHost {
    const { name, index, module, builtIn, options, permissions, virtio } =
      config;
    return new WorkerHost({
      ...wiring,
      module,
      builtIn,
      options,
      grants: permissions,
      virtio,
      ...(kicks === undefined ? {} : { kicks }),
      trace: this.#trace,
      onTrace: (event) => this.#events.onTrace(name, event),
      ram,
      irqPage: this.#interrupts.page,
      punchHole: (offset, length) =>
        this.#disks[index]?.punchHole(offset, length) ?? false,
    });
  }

  #createRegion(host: DeviceHost, virtio: VirtioConfig): Region {
    const report = this.#once(host.name);
    const Registers = virtio.transport === "legacy"
      ? LegacyTransport
      : MmioTransport;
    const transport = new Registers(
      host,
      (section, problem) =>
        report(section, `Driver: ${problem} (virtio-v1.3 §${section})`),
    );
    // Traced accesses all come to main, so that none is missed; otherwise the hot ones never do.
    const isTraced = this.#trace.includes("mmio");
    const sink = limitTrace((event) => this.#events.onTrace(host.name, event));
    return {
      name: host.name,
      base: VIRTIO_MMIO_BASE + host.index * VIRTIO_MMIO_STRIDE,
      size: VIRTIO_MMIO_STRIDE,
      target: isTraced ? traceRegisters(transport, sink) : transport,
      ...(isTraced
        ? {}
        : { inline: { kind: "virtio-mmio", device: host.index } }),
    };
  }

  /** Tells each kind of violation once: a guest can repeat it as often as it likes. */
  #once(device: string): (section: string, message: string) => void {
    const reported = new Set<string>();
    return (section, message) => {
      if (reported.size >= MAX_REPORTS) return;
      // Numbers vary, the kind does not.
      const kind = message.slice(0, MAX_KIND).replace(
        /[0-9a-fx_]*[0-9][0-9a-f_]*/g,
        "#",
      );
      if (reported.has(kind)) return;
      reported.add(kind);
      this.#events.onDriverError(device, section, message);
    };
  }

  /** DEVICE_NEEDS_RESET, with a configuration interrupt once the driver is there to take it (§2.1.2). */
  #needsReset(index: number): void {
    const words = wordsOf(this.hosts[index]!.page);
    const before = Atomics.or(words, STATUS, DEVICE_NEEDS_RESET);
    if ((before & DRIVER_OK) === 0 || before & DEVICE_NEEDS_RESET) return;
    Atomics.or(words, INTERRUPT_STATUS, VIRTIO_MMIO_INT_CONFIG);
    this.#interrupts.signal(index);
  }

  /** The vCPUs stand: devices finish what is in flight, and start nothing. */
  async pause(): Promise<void> {
    if (this.#paused) return;
    this.#paused = true;
    await this.#all(PAUSE);
  }

  /** Before the vCPUs go on. */
  async resume(): Promise<void> {
    if (!this.#paused) return;
    this.#paused = false;
    await this.#all(RESUME);
  }

  async #all(command: number): Promise<void> {
    await Promise.all(
      this.hosts.map(async (host) => {
        await host.declared;
        await host.command(command);
      }),
    );
  }

  /** In-flight requests are finished and files closed before the disks are let go. */
  async close(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.close()));
    for (const { failed, index } of this.hosts) {
      if (failed) this.#disks[index]?.keep();
    }
  }
}
