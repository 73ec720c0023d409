// A disk that is stored nowhere: each line of /dev/vda is made by this file when the guest reads it.
import { defineDevice, type DescriptorChain } from "@paddock/paddock/plugin";

/** What the guest reads. Change it and save: `deno task start` brings it into the running guest. */
export function lineAt(number: number, text: string): string {
  return `${number}: ${text}`;
}

/** Bytes of a sector, in which disks count. */
const SECTOR = 512;
/** Bytes of a line, with its line feed; a sector holds eight. */
const LINE = 64;

export default defineDevice({
  // Which driver takes it (virtio-v1.3 §5): 2 is a disk, and Linux calls it /dev/vda.
  id: 2,
  // What it can do, by bit number (§5.2.3): this one tells the driver that it cannot be written.
  features: { VIRTIO_BLK_F_RO: 5 },
  // Where requests come from: one queue, with up to 64 descriptors.
  queues: { requestq: 64 },
  // What the driver reads before it asks for anything (§5.2.4): the size, in sectors.
  config: { capacity: "u64" },
  // What vm.json may say beside "use". It is checked before anything starts, and has its type in `create`.
  options: {
    text: {
      type: "string",
      default: "hello from TypeScript",
      description: "what each line says",
    },
    size: {
      type: "size",
      min: 1024,
      max: 2 ** 30,
      step: 1024,
      default: "16K",
      description: "the size of the disk",
    },
  },
  // Makes the device, in a thread of its own, which may do what vm.json grants: by default nothing.
  create({ options: { text, size }, updateConfig }) {
    updateConfig({ capacity: size / SECTOR });
    return {
      queues: { requestq: (chain) => serve(chain, size, text) },
    };
  },
});

// What a request is, and what its answer ends with (§5.2.6).
const VIRTIO_BLK_T_IN = 0; // read
const VIRTIO_BLK_T_OUT = 1; // write
const VIRTIO_BLK_S_OK = 0;
const VIRTIO_BLK_S_IOERR = 1;
const VIRTIO_BLK_S_UNSUPP = 2;

/**
 * Serves one request and returns how many bytes it answered: `readable` is what the driver sent, `writable` its room
 * for the answer. Both are cursors, which cannot leave the driver's buffers. What is thrown here costs this device
 * only: the guest goes on, and the log says where it was.
 */
function serve(
  { readable, writable, capacity }: DescriptorChain,
  size: number,
  text: string,
): number {
  if (capacity === 0) return 0; // no room for an answer
  const type = readable.u32();
  readable.skip(4); // unused
  const start = readable.u64() * SECTOR;
  // The answer is the data and then one byte, the status.
  const end = start + capacity - 1;
  let status = VIRTIO_BLK_S_OK;
  if (type !== VIRTIO_BLK_T_IN && type !== VIRTIO_BLK_T_OUT) {
    status = VIRTIO_BLK_S_UNSUPP;
  } else if (type === VIRTIO_BLK_T_OUT || end > size || end % SECTOR !== 0) {
    status = VIRTIO_BLK_S_IOERR;
  } else {
    for (let at = start; at < end; at += LINE) {
      writable.write(bytesOf(lineAt(at / LINE, text)));
    }
  }
  writable.skip(writable.remaining - 1);
  writable.u8(status);
  return status === VIRTIO_BLK_S_OK ? capacity : 0;
}

/** The line with spaces and a line feed behind it, or as much of it as there is room for. */
function bytesOf(line: string): Uint8Array {
  const bytes = new Uint8Array(LINE).fill(0x20);
  new TextEncoder().encodeInto(line, bytes.subarray(0, LINE - 1));
  bytes[LINE - 1] = 0x0a;
  return bytes;
}
