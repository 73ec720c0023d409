// The block device (virtio-v1.3 §5.2): a raw image, never probed for another format.
import {
  type ConfigValues,
  defineDevice,
  type DescriptorChain,
  type OptionValues,
} from "../../core/plugin.ts";
import { DiskFile } from "./backend.ts";
import { options } from "./options.ts";
import * as blk from "./protocol.ts";

export default defineDevice({
  id: 2,
  features: blk.FEATURES,
  queues: { requestq: 256 },
  config: blk.CONFIG,
  options,
  create,
});

/** What the block device needs of its context, so that another device can be one too. */
interface BlockContext {
  readonly options: OptionValues<typeof options>;
  negotiated(feature: "VIRTIO_BLK_F_FLUSH"): boolean;
  updateConfig(values: Partial<ConfigValues<typeof blk.CONFIG>>): void;
  punchHole(offset: number, length: number): Promise<boolean>;
}

function create(context: BlockContext) {
  const { options, punchHole } = context;
  const writable = !options.readOnly;
  const disk = new DiskFile(options.path, writable);
  const id = new Uint8Array(blk.ID_LENGTH);
  new TextEncoder().encodeInto(options.serial ?? "", id);
  const header: blk.RequestHeader = { type: 0, offset: 0 };
  /** A driver without FLUSH counts on it that what was written is on the disk when it is told so (§5.2.6.2). */
  const commit = () => context.negotiated("VIRTIO_BLK_F_FLUSH") || disk.flush();

  /** Carries a request out and returns its status; `data` is the room for data that the chain has. */
  function execute(
    { readable, writable: answer }: DescriptorChain,
    data: number,
  ): number | Promise<number> {
    const { type, offset } = header;
    switch (type) {
      case blk.VIRTIO_BLK_T_IN:
        if (!blk.isTransfer(offset, data, disk.size)) {
          return blk.VIRTIO_BLK_S_IOERR;
        }
        return status(disk.read(answer, offset, data));
      case blk.VIRTIO_BLK_T_OUT: {
        const length = readable.remaining;
        if (!writable || !blk.isTransfer(offset, length, disk.size)) {
          return blk.VIRTIO_BLK_S_IOERR;
        }
        return status(disk.write(readable, offset, length) && commit());
      }
      case blk.VIRTIO_BLK_T_FLUSH:
        return status(!writable || disk.flush());
      case blk.VIRTIO_BLK_T_GET_ID:
        answer.write(id.subarray(0, Math.min(data, id.length)));
        return blk.VIRTIO_BLK_S_OK;
      case blk.VIRTIO_BLK_T_DISCARD:
      case blk.VIRTIO_BLK_T_WRITE_ZEROES: {
        if (!writable) return blk.VIRTIO_BLK_S_IOERR;
        const ranges = blk.readRanges(readable, type, disk.size);
        return typeof ranges === "number" ? ranges : clear(type, ranges);
      }
      default:
        return blk.VIRTIO_BLK_S_UNSUPP;
    }
  }

  async function clear(
    type: number,
    ranges: readonly blk.Range[],
  ): Promise<number> {
    for (const { offset, length, unmap } of ranges) {
      const discard = type === blk.VIRTIO_BLK_T_DISCARD;
      // A hole reads as zeros; where the file system has none, a discard is only a hint (§5.2.6.2).
      const punched = (discard || unmap) && await punchHole(offset, length);
      if (!punched && !discard && !disk.zero(offset, length)) {
        return blk.VIRTIO_BLK_S_IOERR;
      }
    }
    return status(commit());
  }

  context.updateConfig(blk.configOf(disk.size, writable));
  return {
    offers: writable ? blk.READ_WRITE : blk.READ_ONLY,
    queues: {
      requestq: {
        handle(chain: DescriptorChain): number | Promise<number> {
          // The status byte is the last one that the device may write (§5.2.6).
          const data = chain.writable.remaining - 1;
          if (data < 0) return 0;
          blk.readHeader(chain.readable, header);
          const result = execute(chain, data);
          if (typeof result === "number") return finish(chain, result);
          return result.then((status) => finish(chain, status));
        },
        refuse: (chain: DescriptorChain) =>
          chain.capacity === 0 ? 0 : finish(chain, blk.VIRTIO_BLK_S_IOERR),
      },
    },
    close: () => disk.close(),
  };
}

function status(ok: boolean): number {
  return ok ? blk.VIRTIO_BLK_S_OK : blk.VIRTIO_BLK_S_IOERR;
}

/** Writes the status byte into its place, and says how much of the chain is written in front of it too. */
function finish(
  { writable, capacity }: DescriptorChain,
  status: number,
): number {
  const unwritten = writable.remaining - 1;
  writable.skip(unwritten);
  writable.u8(status);
  // Bytes in front of the status count only when all of them were written (§2.7.8.2).
  return unwritten === 0 ? capacity : 0;
}
