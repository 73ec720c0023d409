// A read-only disk (virtio-v1.3 §5.2) whose content is an HTTP(S) resource: blocks are fetched by Range when the guest
// reads them, and the latest are kept.
import { type ChainWriter, defineDevice } from "@paddock/paddock/plugin";

const SECTOR = 512;
/** The unit of fetching: what Linux reads ahead. */
const BLOCK = 128 * 1024;
const TRIES = 3;
/** For all fetches of a request: Linux waits for 30 s. */
const DEADLINE_MS = 8000;

const VIRTIO_BLK_T_IN = 0;
const VIRTIO_BLK_T_OUT = 1;
const VIRTIO_BLK_S_OK = 0;
const VIRTIO_BLK_S_IOERR = 1;
const VIRTIO_BLK_S_UNSUPP = 2;

export default defineDevice({
  id: 2, // block: Linux has it as /dev/vda
  features: { VIRTIO_BLK_F_SEG_MAX: 2, VIRTIO_BLK_F_RO: 5 },
  queues: { requestq: 64 },
  config: { capacity: "u64", size_max: "u32", seg_max: "u32" },
  options: {
    url: { type: "url", description: "the resource that the disk shows" },
    cache: {
      type: "size",
      min: BLOCK,
      max: 2 ** 32,
      default: "16M",
      description: "the memory for blocks that were read",
    },
  },
  permissions: { net: [{ option: "url" }] },
  // What is thrown here is told before the guest sees a disk.
  async create({ options, updateConfig, log }) {
    const resource = new Resource(options.url, options.cache);
    await resource.get(0, 0, AbortSignal.timeout(DEADLINE_MS));
    const size = Math.floor(resource.size / SECTOR) * SECTOR;
    updateConfig({ capacity: size / SECTOR, seg_max: 62 });

    async function read(into: ChainWriter, at: number, signal: AbortSignal) {
      const end = at + into.remaining - 1;
      if (end % SECTOR !== 0 || end > size) return VIRTIO_BLK_S_IOERR;
      const late = AbortSignal.timeout(DEADLINE_MS);
      const deadline = AbortSignal.any([signal, late]);
      try {
        while (at < end) {
          const from = at % BLOCK;
          const to = Math.min(BLOCK, from + end - at);
          const block = await resource.block((at - from) / BLOCK, deadline);
          into.write(block.subarray(from, to));
          at += to - from;
        }
        return VIRTIO_BLK_S_OK;
      } catch (error) {
        log(`${error}`);
        return VIRTIO_BLK_S_IOERR;
      }
    }

    return {
      queues: {
        // struct virtio_blk_req (§5.2.6): header, data, and a last byte for the status. Others are served meanwhile.
        async requestq({ readable, writable, capacity }, signal) {
          if (capacity === 0) return 0;
          const type = readable.u32();
          readable.u32(); // reserved
          const at = readable.u64() * SECTOR;
          let status = VIRTIO_BLK_S_UNSUPP;
          if (type === VIRTIO_BLK_T_OUT) status = VIRTIO_BLK_S_IOERR;
          if (type === VIRTIO_BLK_T_IN) {
            status = await read(writable, at, signal);
          }
          writable.skip(writable.remaining - 1);
          writable.u8(status);
          return status === VIRTIO_BLK_S_OK ? capacity : 0;
        },
      },
    };
  },
});

/** Something that a server gives out in parts, while it stays the same. */
class Resource {
  size = 0;
  #version: string | null = null;
  /** In the order of use, since a Map keeps that of insertion; each is there from when it is asked for. */
  readonly #blocks = new Map<number, Promise<Uint8Array>>();

  constructor(readonly url: string, readonly cache: number) {}

  /** A block, for which the longest unused one makes room. */
  block(index: number, deadline: AbortSignal): Promise<Uint8Array> {
    const block = this.#blocks.get(index) ?? this.#fetch(index, deadline);
    this.#blocks.delete(index);
    this.#blocks.set(index, block);
    const [oldest] = this.#blocks.keys();
    if (this.#blocks.size * BLOCK > this.cache) this.#blocks.delete(oldest!);
    return block;
  }

  async #fetch(index: number, deadline: AbortSignal): Promise<Uint8Array> {
    const first = index * BLOCK;
    const last = Math.min(first + BLOCK, this.size) - 1;
    for (let tries = 1;; tries++) {
      try {
        return await this.get(first, last, deadline);
      } catch (error) {
        if (tries < TRIES && !deadline.aborted) continue;
        this.#blocks.delete(index);
        throw error;
      }
    }
  }

  /** Fetches the bytes from `first` to `last`, which is included. */
  async get(first: number, last: number, signal: AbortSignal) {
    const range = `${first}-${last}`;
    const headers = { range: `bytes=${range}`, "accept-encoding": "identity" };
    const response = await fetch(this.url, { headers, signal });
    const problem = this.#problem(response, range);
    if (problem !== null) {
      await response.body?.cancel();
      throw new Error(`${this.url} ${problem}`);
    }
    const bytes = new Uint8Array(last - first + 1);
    let done = 0;
    for await (const part of response.body!) {
      bytes.set(part, done); // a RangeError if more comes than was asked for
      done += part.length;
    }
    if (done === bytes.length) return bytes;
    throw new Error(`${this.url} ended early`);
  }

  /** The first answer says what all others must be parts of. */
  #problem({ status, headers }: Response, asked: string): string | null {
    const content = headers.get("content-range") ?? "";
    const [, range, size] = /^bytes (\d+-\d+)\/(\d+)$/.exec(content) ?? [];
    if (status !== 206 || range !== asked) {
      return `is not served in ranges (status ${status})`;
    }
    const mark = headers.get("etag") ?? headers.get("last-modified");
    const version = `${size} ${mark}`;
    if (version !== (this.#version ??= version)) return "has changed";
    this.size = Number(size);
    return null;
  }
}
