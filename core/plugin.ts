// Thread: any
// The plugin door: all that a device imports. A device is a module whose default export is `defineDevice(…)`.
import type {
  ChainReader,
  ChainWriter,
  DescriptorChain,
} from "./virtio/chain.ts";

export type { ChainReader, ChainWriter, DescriptorChain };
export { DriverError } from "./errors.ts";

/** A virtqueue that its device pulls from, instead of having a `handle`. */
export interface PulledQueue {
  /** The next chain, or null; give each back with `addUsed`. */
  pop(): DescriptorChain | null;
  addUsed(chain: DescriptorChain, written: number): void;
  /** Interrupts the driver if it wants that for what was added. */
  flush(): void;
}

/** One of a device's virtqueues. Have `handle`, or `available`, or neither for a queue that is never served. */
export interface QueueDeclaration {
  readonly name: string;
  /** The largest size that the driver may choose; a power of two. */
  readonly size: number;
  /**
   * Serves one chain and returns how many bytes it wrote into it. With a promise, other chains are served meanwhile.
   * Throwing a DriverError blames the driver; anything else, this device. Either puts it into DEVICE_NEEDS_RESET.
   */
  handle?(chain: DescriptorChain): number | Promise<number>;
  /**
   * Answers a chain with an error, for a device whose `handle` has failed: the chain it failed at, and all that come
   * until the driver resets the device. Without it they stay unanswered, and the driver may wait for them for ever.
   */
  refuse?(chain: DescriptorChain): number;
  /** The driver may have added chains, or has just set DRIVER_OK. */
  available?(queue: PulledQueue): void;
}

/** Messages between a device and whoever holds the VM, in order, as structured clones. */
export interface DevicePort {
  /** Called with each message; those that come while it is null are lost. */
  onmessage: ((data: unknown) => void) | null;
  postMessage(data: unknown, transfer?: Transferable[]): void;
}

/** What a device is given. Everything in it is for the queue thread. */
export interface DeviceContext<Options> {
  /** The device's name in this VM, as in "block0". */
  readonly name: string;
  readonly options: Options;
  /** Messages to and from whoever holds the VM: `vm.port(name)`. */
  readonly port: DevicePort;
  /** Whether the driver negotiated the feature bit with this number. */
  negotiated(bit: number): boolean;
  /** A queue to pull from, while the driver has it live; else null. */
  queue(index: number): PulledQueue | null;
  /** Changes configuration space and tells the driver (virtio-v1.3 §2.5, ConfigGeneration kept). */
  updateConfig(offset: number, bytes: Uint8Array): void;
  /** Gives the host back the blocks of a range of this device's disk. False where the file system cannot. */
  punchHole(offset: number, length: number): Promise<boolean>;
  log(message: string): void;
}

/** A virtio device. Its handlers run in its own worker, one at a time but for what they await. */
export interface VirtioDevice {
  /** Virtio device id (virtio-v1.3 §5). */
  readonly id: number;
  /** Numbers of the device's own feature bits; those of ring and transport are the core's. */
  readonly features?: readonly number[];
  readonly queues: readonly QueueDeclaration[];
  /** Initial configuration space. */
  readonly config?: Uint8Array;
  /** The driver wrote to configuration space. `size` is 1, 2 or 4. */
  writeConfig?(offset: number, size: number, value: number): void;
  /** The driver set DRIVER_OK. */
  activate?(): void;
  /** The driver reset the device: drop what is pending. Requests in flight are awaited before this. */
  reset?(): void;
  /** The VM ends: close files. */
  close?(): void;
}

/** Makes a device; may open files first. */
export type DeviceFactory<Options> = (
  context: DeviceContext<Options>,
) => VirtioDevice | Promise<VirtioDevice>;

/**
 * Declares a device module's default export.
 *
 * ```ts
 * import { defineDevice } from "./plugin.ts";
 * export default defineDevice(() => ({
 *   id: 4, // entropy
 *   queues: [{
 *     name: "requestq",
 *     size: 64,
 *     handle: ({ writable }) => writable.write(crypto.getRandomValues(new Uint8Array(64))),
 *   }],
 * }));
 * ```
 */
export function defineDevice<Options = Record<string, never>>(
  factory: DeviceFactory<Options>,
): DeviceFactory<Options> {
  return factory;
}
