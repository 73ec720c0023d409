// Thread: main
// A device of the manifest that another program serves: its fields, and what virtio fixes of each kind of device.

import * as v from "valibot";
import { ManifestError } from "../errors.ts";
import type { BackEndConfig, FeatureNeeds } from "./config.ts";
import { flag, integer, path, text, word } from "./fields.ts";
import type { FileSet } from "./files.ts";
import { quote } from "./text.ts";

/** What `use` says for such a device. */
export const VHOST_USER = "vhost-user";

/** A kind of device as virtio 1.3 has it. */
interface Kind {
  readonly id: number;
  /** Virtqueues, where the manifest does not say. */
  readonly queues: number;
  /** Bytes of its configuration space that every back end has. */
  readonly config: number;
  /** Feature bits that a back end without configuration space leaves to its front end; absent: it must have one. */
  readonly withoutConfig?: readonly number[];
  readonly needs?: FeatureNeeds;
}

// Network back ends have rings only: MTU, MAC, the status, the control queue and what needs it are not theirs.
const NET_FRONT_END = [3, 5, 16, 17, 18, 19, 20, 21, 22, 23, 57, 60, 63];

/** §5.1.3.1: offloads need the checksum of their direction, and much the control queue. */
const NET_NEEDS: FeatureNeeds = [
  ...[7, 8, 10].map((offload) => [offload, 1] as const),
  ...[11, 12, 14].map((offload) => [offload, 0] as const),
  ...[18, 19, 21, 22, 23, 60].map((feature) => [feature, 17] as const),
];

/** By the section of virtio 1.3: 5.1.4, 5.2.4, 5.3.4, … */
const KINDS: Readonly<Record<string, Kind>> = {
  net: {
    id: 1,
    queues: 2,
    config: 12,
    withoutConfig: NET_FRONT_END,
    needs: NET_NEEDS,
  },
  block: { id: 2, queues: 1, config: 60 },
  console: { id: 3, queues: 2, config: 12, withoutConfig: [0, 1, 2] },
  rng: { id: 4, queues: 1, config: 0 },
  gpu: { id: 16, queues: 2, config: 16 },
  input: { id: 18, queues: 2, config: 136 },
  sound: { id: 25, queues: 4, config: 12 },
  fs: { id: 26, queues: 2, config: 0 },
  scmi: { id: 32, queues: 2, config: 0 },
  i2c: { id: 34, queues: 1, config: 0 },
  gpio: { id: 41, queues: 1, config: 8 },
};
const FS = KINDS.fs!.id;
/** Of struct virtio_fs_config (§5.11.4): a tag, and the number of request queues. */
const TAG_SIZE = 36;

const MAX_QUEUES = 31;
const MAX_QUEUE_SIZE = 1024;
const QUEUE_SIZE = 128;
const MAX_CONFIG = 1024;

const kinds = Object.keys(KINDS).map((name) => `"${name}"`).join(", ");
const DEVICE = `${kinds} or the number of a virtio device`;
const notDevice = ({ input }: v.BaseIssue<unknown>) =>
  `must be ${DEVICE}, not ${quote(input)}`;
const queueSize = `a power of two up to ${MAX_QUEUE_SIZE}`;

/** Its fields, beside those that every device has. */
export const vhostUserEntries = {
  use: word(VHOST_USER, "a device that another program serves"),
  socket: path("the socket of the program that serves the device"),
  device: v.pipe(
    v.union([
      v.picklist(Object.keys(KINDS), notDevice),
      v.pipe(
        v.number(notDevice),
        v.integer(notDevice),
        v.minValue(1, notDevice),
        v.maxValue(0xffff, notDevice),
      ),
    ], notDevice),
    v.description(`what the device is: ${DEVICE}`),
  ),
  tag: v.optional(
    text(/^[^\0]{1,36}$/, "the name by which a guest mounts the folder"),
  ),
  queues: v.optional(integer(1, MAX_QUEUES, "the number of virtqueues")),
  queueSize: v.optional(
    v.pipe(
      integer(1, MAX_QUEUE_SIZE, "the size of each virtqueue"),
      v.check(
        (size) => (size & (size - 1)) === 0,
        ({ input }) => `must be ${queueSize}, not ${quote(input)}`,
      ),
    ),
    QUEUE_SIZE,
  ),
  ordered: v.optional(
    flag(
      "the program finishes requests in the order in which they came, as virtiofsd without a thread pool does, so that one that is started again can go on",
    ),
    false,
  ),
  configSize: v.optional(
    integer(
      0,
      MAX_CONFIG,
      "bytes of configuration space to ask the program for",
    ),
  ),
};

export type VhostUserDevice = v.InferOutput<
  v.ObjectSchema<typeof vhostUserEntries, undefined>
>;

/** What the fields come to. */
export function resolveVhostUser(
  device: VhostUserDevice,
  field: string,
  absolute: (path: string) => string,
  files: FileSet,
): BackEndConfig {
  const known = typeof device.device === "string"
    ? KINDS[device.device]
    : Object.values(KINDS).find(({ id }) => id === device.device);
  const kind = known ?? { id: Number(device.device), queues: 1, config: 0 };
  const queues = device.queues ?? kind.queues;
  const config = kind.id === FS
    ? fsConfig(device.tag, queues, field)
    : undefined;
  if (kind.id !== FS && device.tag !== undefined) {
    throw new ManifestError(
      `${field}.tag`,
      'is for "device": "fs" only; remove it',
    );
  }
  const socket = absolute(device.socket);
  files.addSocket(`${field}.socket`, socket);
  return {
    socket,
    id: kind.id,
    queues: Array<number>(queues).fill(device.queueSize),
    config: config ?? device.configSize ?? kind.config,
    withoutConfig: kind.withoutConfig ?? null,
    needs: kind.needs ?? [],
    ordered: device.ordered,
  };
}

/** struct virtio_fs_config, which back ends leave to the front end. */
function fsConfig(
  tag: string | undefined,
  queues: number,
  field: string,
): Uint8Array {
  const bytes = new TextEncoder().encode(tag ?? "");
  if (tag === undefined || bytes.length > TAG_SIZE) {
    throw new ManifestError(
      `${field}.tag`,
      `must be the name by which a guest mounts the folder, up to ${TAG_SIZE} bytes, not ${
        quote(tag)
      }`,
    );
  }
  if (queues < 2) {
    throw new ManifestError(
      `${field}.queues`,
      "must be at least 2 for a folder, one of them for urgent requests",
    );
  }
  const config = new Uint8Array(TAG_SIZE + 4);
  config.set(bytes);
  new DataView(config.buffer).setUint32(TAG_SIZE, queues - 1, true);
  return config;
}

/** What a device without a name is called after: "fs" of "fs0". */
export function kindOfDevice(device: VhostUserDevice): string {
  return typeof device.device === "string" ? device.device : "device";
}
