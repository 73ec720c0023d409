// Thread: any
/**
 * The plugin door: all that a device imports. A device is a module whose default export is `defineDevice({ … })`.
 * Its declaration is plain data, which is checked before anything starts; `create` makes the device, in a thread of
 * its own with the permissions that the manifest grants.
 *
 * @module
 */
import type { OptionsSchema, OptionValues } from "./manifest/options.ts";
import type {
  ChainReader,
  ChainWriter,
  DescriptorChain,
} from "./virtio/chain.ts";
import type { ConfigLayout, ConfigValues } from "./virtio/config_layout.ts";

export type { ChainReader, ChainWriter, DescriptorChain };
export type {
  ConfigField,
  ConfigLayout,
  ConfigValues,
  FieldType,
  FieldValue,
} from "./virtio/config_layout.ts";
export type {
  OptionSchema,
  OptionsSchema,
  OptionValues,
} from "./manifest/options.ts";
export { DriverError } from "./errors.ts";

/** Kinds of permission that a device may ask for. */
export type PermissionName =
  | "read"
  | "write"
  | "net"
  | "env"
  | "run"
  | "import";

/**
 * What a device asks for: of each kind a list of values, or of options whose value it is (`net` takes a URL's host).
 * The manifest must grant all of it, or the VM does not start.
 *
 * ```ts
 * import type { PermissionAsks } from "./plugin.ts";
 * export const asks = { net: [{ option: "url" }] } satisfies PermissionAsks<"url">;
 * ```
 */
export type PermissionAsks<Option extends string = string> = {
  readonly [Kind in PermissionName]?: readonly (
    | string
    | { readonly option: Option }
  )[];
};

/** A virtqueue that its device pulls from, instead of having a `handle`. */
export interface PulledQueue {
  /** The next chain, or null; give each back with `addUsed`. */
  pop(): DescriptorChain | null;
  /** Gives a chain back, with the number of bytes that were written into it. */
  addUsed(chain: DescriptorChain, written: number): void;
  /** Interrupts the driver if it wants that for what was added. */
  flush(): void;
}

/**
 * Serves one chain and returns how many bytes it wrote into it. With a promise, other chains are served meanwhile.
 * Throwing a {@linkcode DriverError} blames the driver; anything else, this device. Either puts the device into
 * DEVICE_NEEDS_RESET.
 */
export type ChainHandler = (chain: DescriptorChain) => number | Promise<number>;

/** A queue that is served one chain at a time, and can answer with an error. */
export interface ServedQueue {
  readonly handle: ChainHandler;
  /**
   * Answers a chain with an error, for a device whose `handle` has failed: the chain it failed at, and all that come
   * until the driver resets the device. Without it they stay unanswered, and the driver may wait for them for ever.
   */
  readonly refuse?: (chain: DescriptorChain) => number;
}

/** A queue whose device takes as many chains as it wants, when it wants. */
export interface BatchQueue {
  /** The driver may have added chains, or has just set DRIVER_OK. What is not popped stays for the next call. */
  readonly available: (queue: PulledQueue) => void;
}

/** How a queue is served: chain by chain, in batches, or never. */
export type QueueHandler = ChainHandler | ServedQueue | BatchQueue | null;

/** Messages between a device and whoever holds the VM, in order, as structured clones. */
export interface DevicePort {
  /** Called with each message; those that come while it is null are lost. */
  onmessage: ((data: unknown) => void) | null;
  postMessage(data: unknown, transfer?: Transferable[]): void;
}

/** What a device is given. Everything in it is for the queue thread. */
export interface DeviceContext<Features, Queues, Config, Options> {
  /** The device's name in this VM, as in "block0". */
  readonly name: string;
  /** The manifest's options, checked, with defaults filled in. */
  readonly options: OptionValues<Options>;
  /** Configuration space as it is now; bytes are copies. Zeros until `updateConfig`. */
  readonly config: ConfigValues<Config>;
  /** Messages to and from whoever holds the VM: `vm.port(name)`. */
  readonly port: DevicePort;
  /** Whether the driver negotiated this feature. */
  negotiated(feature: keyof Features & string): boolean;
  /** A queue to pull from, while the driver has it live; else null. */
  queue(name: keyof Queues & string): PulledQueue | null;
  /** Changes fields of configuration space at once, and tells a driver that is live (virtio-v1.3 §2.5, ConfigGeneration kept). */
  updateConfig(values: Partial<ConfigValues<Config>>): void;
  /** Gives the host back the blocks of a range of this device's disk. False where the file system cannot. */
  punchHole(offset: number, length: number): Promise<boolean>;
  /** A line in the VM's log. */
  log(message: string): void;
}

/** A device that was made. Its handlers run in its own thread, one at a time but for what they await. */
export interface VirtioDevice<
  Feature extends string = string,
  Queue extends string = string,
  Field extends string = string,
> {
  /** One handler a declared queue. */
  readonly queues: { readonly [Name in Queue]: QueueHandler };
  /** Features that the driver is offered; default: all that are declared. */
  readonly offers?: readonly Feature[];
  /** The driver wrote to this field of configuration space, which is declared writable; `context.config` has the value. Its next read sees what this changes. */
  configWritten?(field: Field): void;
  /** The driver set DRIVER_OK. */
  activate?(): void;
  /** The driver reset the device: drop what is pending. Requests in flight are awaited before this. */
  reset?(): void;
  /** The VM is paused: nothing is in flight, and no handler is called until `resume`. */
  pause?(): void | Promise<void>;
  resume?(): void | Promise<void>;
  /** The VM ends: close files. */
  close?(): void;
}

/** A device's declaration, plain data but for `create`. */
export interface DeviceDefinition<
  Features extends Readonly<Record<string, number>>,
  Queues extends Readonly<Record<string, number>>,
  Config extends ConfigLayout,
  Options extends OptionsSchema,
> {
  /** Virtio device id (virtio-v1.3 §5). */
  readonly id: number;
  /** The device's own feature bits by name, 0–23 and 50–63; those of ring and transport are the core's (§2.2). */
  readonly features?: Features;
  /** Queues in their order, with the largest size that the driver may choose: a power of two. */
  readonly queues: Queues;
  /** Configuration space. */
  readonly config?: Config;
  /** What the manifest may say to this device. */
  readonly options?: Options;
  /** What the manifest must grant it. */
  readonly permissions?: PermissionAsks<keyof Options & string>;
  /** Makes the device; may open files first. */
  create(
    context: DeviceContext<Features, Queues, Config, Options>,
  ):
    | VirtioDevice<
      keyof Features & string,
      keyof Queues & string,
      keyof Config & string
    >
    | Promise<
      VirtioDevice<
        keyof Features & string,
        keyof Queues & string,
        keyof Config & string
      >
    >;
}

/** Nothing declared. */
type None = Record<never, never>;

/**
 * Declares a device module's default export. The types of `create` follow from the declaration.
 *
 * ```ts
 * import { defineDevice } from "./plugin.ts";
 *
 * export default defineDevice({
 *   id: 4, // entropy (virtio-v1.3 §5.4)
 *   queues: { requestq: 64 },
 *   options: {
 *     byte: { type: "integer", min: 0, max: 255, default: 42, description: "the byte to answer with" },
 *   },
 *   create: ({ options }) => ({
 *     queues: {
 *       requestq: ({ writable }) => writable.fill(options.byte, writable.remaining),
 *     },
 *   }),
 * });
 * ```
 */
export function defineDevice<
  const Features extends Readonly<Record<string, number>> = None,
  const Queues extends Readonly<Record<string, number>> = None,
  const Config extends ConfigLayout = None,
  const Options extends OptionsSchema = None,
>(
  definition: DeviceDefinition<Features, Queues, Config, Options>,
): DeviceDefinition<Features, Queues, Config, Options> {
  return definition;
}
