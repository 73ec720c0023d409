// Thread: any
/**
 * The plugin door: all that a device imports. A device is a module whose default export is `defineDevice({ … })`.
 * Its declaration is plain data, which is checked before anything starts, in a process that may do nothing: the module
 * itself must load without any permission. `create` makes the device, in a thread of its own with the permissions that
 * the manifest grants. All handlers run in that thread, one at a time but for what they await.
 *
 * What a device throws costs that device only: it is put into DEVICE_NEEDS_RESET, the log has the message with file and
 * line, the guest goes on, and the driver's reset starts the device anew.
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

/** Kinds of permission that a device may ask for and a manifest may grant, as Deno has them. FFI is never granted. */
export type PermissionName =
  | "read"
  | "write"
  | "net"
  | "env"
  | "run"
  | "import";

/**
 * What a device asks for: of each kind a list of values, or of options whose value it is (`net` takes a URL's host).
 * Paths are relative to the manifest.
 *
 * ```ts
 * import type { PermissionAsks } from "@paddock/paddock/plugin";
 *
 * export const asks = {
 *   read: ["./data"],
 *   net: [{ option: "url" }],
 * } satisfies PermissionAsks<"url">;
 * ```
 */
export type PermissionAsks<Option extends string = string> = {
  readonly [Kind in PermissionName]?: readonly (
    | string
    | { readonly option: Option }
  )[];
};

/** A virtqueue that its device pulls from. After the driver's reset `pop` gives null and the rest does nothing. */
export interface PulledQueue {
  /** The next chain, or null when there is none now; give each back once, with `addUsed`, in any order. */
  pop(): DescriptorChain | null;
  /** Gives a chain back, with how many of its writable bytes were written, from the first on. It is reused then. */
  addUsed(chain: DescriptorChain, written: number): void;
  /** Interrupts the driver if it wants that for what was added. */
  flush(): void;
}

/**
 * Serves one chain and returns how many of its writable bytes it wrote, from the first on: 0 to `chain.capacity`. With
 * a promise, other chains are served meanwhile; `signal` aborts when its buffers are wanted back (a reset, a long pause), and
 * the promise must settle soon after that. The chain is reused afterwards: do not keep it. Throwing a
 * {@linkcode DriverError} blames the driver; anything else, this device.
 *
 * ```ts
 * import type { ChainHandler } from "@paddock/paddock/plugin";
 *
 * // Answers with as many zeros as the driver's u32 asks for.
 * export const zeros: ChainHandler = ({ readable, writable }) =>
 *   writable.fill(0, readable.u32());
 * ```
 */
export type ChainHandler = (
  chain: DescriptorChain,
  signal: AbortSignal,
) => number | Promise<number>;

/** A queue that is served one chain at a time, and can answer with an error. */
export interface ServedQueue {
  readonly handle: ChainHandler;
  /**
   * Answers a chain with an error, for a device whose `handle` has failed: the chain it failed at, and all that come
   * until the driver resets the device. Without it they stay unanswered, and the driver may wait for them for ever.
   */
  readonly refuse?: (chain: DescriptorChain) => number;
}

/**
 * A queue whose device takes as many chains as it wants, when it wants: for chains that wait for an event, as those of
 * a console's input do. `context.queue(name)` gives the queue at other times.
 *
 * ```ts
 * import type { BatchQueue } from "@paddock/paddock/plugin";
 *
 * export const echo: BatchQueue = {
 *   available(queue) {
 *     for (let chain = queue.pop(); chain !== null; chain = queue.pop()) {
 *       const bytes = new Uint8Array(chain.readable.remaining);
 *       chain.readable.read(bytes);
 *       queue.addUsed(chain, chain.writable.write(bytes));
 *     }
 *   },
 * };
 * ```
 */
export interface BatchQueue {
  /** The driver may have added chains, or has just set DRIVER_OK. What is not popped stays for the next call. */
  readonly available: (queue: PulledQueue) => void;
}

/** How a queue is served: chain by chain, in batches, or, with null, only when the device pulls. */
export type QueueHandler = ChainHandler | ServedQueue | BatchQueue | null;

/**
 * Messages between a device and whoever holds the VM, in order, as structured clones: what `postMessage` takes. Those that
 * cross processes are JSON with bytes (Uint8Array), of at most 2^20 characters; longer ones go in parts.
 */
export interface DevicePort {
  /** Called with each message; those that come while it is null are lost. */
  onmessage: ((data: unknown) => void) | null;
  postMessage(data: unknown, transfer?: Transferable[]): void;
}

/**
 * What `create` is given. All of it is for the device's own thread, and may be used until `close`.
 *
 * ```ts
 * import { defineDevice } from "@paddock/paddock/plugin";
 *
 * // A number that the driver can set, and that whoever holds the VM hears of: `vm.port(name).onmessage`.
 * export default defineDevice({
 *   id: 0xfff1, // of no driver that Linux has
 *   queues: {},
 *   config: { number: { type: "u32", writable: true } },
 *   create: ({ config, port, updateConfig }) => ({
 *     queues: {},
 *     configWritten: () => port.postMessage(config.number),
 *     reset: () => updateConfig({ number: 0 }),
 *   }),
 * });
 * ```
 */
export interface DeviceContext<Features, Queues, Config, Options> {
  /** The device's name in this VM, as in "block0". */
  readonly name: string;
  /** The manifest's options, checked, with defaults filled in. */
  readonly options: OptionValues<Options>;
  /** Configuration space as it is now: numbers, and copies of bytes. Zeros until `updateConfig`. */
  readonly config: ConfigValues<Config>;
  /** Messages to and from whoever holds the VM: `vm.port(name)`. */
  readonly port: DevicePort;
  /** Whether the driver negotiated this feature; false before `activate`. */
  negotiated(feature: keyof Features & string): boolean;
  /** A queue to pull from while the driver has it live, from `activate` to the reset; else null. */
  queue(name: keyof Queues & string): PulledQueue | null;
  /**
   * Changes fields of configuration space, all at once, and interrupts a driver that is live (virtio-v1.3 §2.5).
   * Throws a RangeError or TypeError for a value that is not of the field's type.
   */
  updateConfig(values: Partial<ConfigValues<Config>>): void;
  /** Gives the host back the blocks of a range, in bytes, of a built-in disk's file. False where it cannot be done. */
  punchHole(offset: number, length: number): Promise<boolean>;
  /** A line in the VM's log, under the device's name. */
  log(message: string): void;
}

/**
 * A device that was made. Over its life: `create`, then any number of times `activate`, requests and `reset`, then
 * `close`. `pause` and `resume` come anywhere in between.
 */
export interface VirtioDevice<
  Feature extends string = string,
  Queue extends string = string,
  Field extends string = string,
> {
  /** One handler for each declared queue, under its name. */
  readonly queues: { readonly [Name in Queue]: QueueHandler };
  /** Features that the driver is offered; default: all that are declared. */
  readonly offers?: readonly Feature[];
  /**
   * The driver wrote to this field of configuration space, which is declared writable; `context.config` has the value.
   * The driver's next read sees what this changes.
   */
  configWritten?(field: Field): void;
  /** The driver set DRIVER_OK: features are settled, queues are live. What was kicked already is served after it. */
  activate?(): void;
  /** The driver reset the device, or the VM ends: drop what is pending. Requests in flight are awaited before this. */
  reset?(): void;
  /** The VM is paused: nothing is in flight, and no queue is served until `resume`. */
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
  /**
   * The virtio device id, 1 to 65535 (virtio-v1.3 §5). It decides which driver in the guest takes the device: 2 is a
   * disk, 3 a console, 4 an entropy source. For an id that no driver knows, the guest needs one of your own.
   */
  readonly id: number;
  /**
   * The device's own feature bits by name, 0–23 and 50–63; those of ring and transport are the core's (virtio-v1.3
   * §2.2). All are offered, unless the device's `offers` names fewer; `context.negotiated(name)` says what the driver
   * took.
   */
  readonly features?: Features;
  /**
   * Features that mean nothing without others, as VIRTIO_NET_F_GUEST_TSO4 without VIRTIO_NET_F_GUEST_CSUM (virtio-v1.3
   * §5.1.3.1): a driver that accepts one and leaves out another that it needs does not get FEATURES_OK (§2.2.1).
   */
  readonly featureNeeds?: {
    readonly [Name in keyof Features & string]?: readonly NoInfer<
      keyof Features & string
    >[];
  };
  /**
   * Virtqueues by name, in their order, each with the largest size in descriptors that the driver may choose: a power
   * of two up to 1024 (virtio-v1.3 §2.6). How each is served, a {@linkcode QueueHandler} says.
   */
  readonly queues: Queues;
  /**
   * Configuration space, up to 1024 bytes: what the driver reads, and may write where a field says `writable`, outside
   * of all queues (virtio-v1.3 §2.5). {@linkcode ConfigLayout} has the form.
   */
  readonly config?: Config;
  /**
   * What the manifest may say to this device beside `use`, as {@linkcode OptionsSchema} has it. Checked and filled in
   * before anything starts. The names `use`, `name`, `permissions`, `virtio`, `isolation` and `integrity` are the
   * host's.
   */
  readonly options?: Options;
  /**
   * What the manifest must grant it, as {@linkcode PermissionAsks} has it, or the VM does not start. The device gets
   * what is granted, not what it asks for, and nothing by default. Its modules import from its own folder only.
   */
  readonly permissions?: PermissionAsks<keyof Options & string>;
  /**
   * Makes the device, a {@linkcode VirtioDevice}, of its {@linkcode DeviceContext}. May open files and connections
   * first, and has thirty seconds. Called once, and again when the driver resets a device that failed or was changed.
   */
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
 * Declares a device: a module's default export. It returns what it is given, and lets the types of `create` follow from
 * the declaration: options, config fields, names of queues and features.
 *
 * ```ts
 * import { defineDevice } from "@paddock/paddock/plugin";
 *
 * export default defineDevice({
 *   id: 4, // entropy (virtio-v1.3 §5.4)
 *   queues: { requestq: 64 },
 *   options: {
 *     byte: {
 *       type: "integer",
 *       min: 0,
 *       max: 255,
 *       default: 42,
 *       description: "the byte to answer with",
 *     },
 *   },
 *   create: ({ options }) => ({
 *     queues: {
 *       requestq: ({ writable }) =>
 *         writable.fill(options.byte, writable.remaining),
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
