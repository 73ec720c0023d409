// Thread: main
// Configuration space as a front end reads and writes it.
import type { WorkerHost } from "../device/worker_host.ts";
import {
  CONFIG_GENERATION,
  configOf,
  MAX_CONFIG,
  wordsOf,
  WRITE_CONFIG,
} from "../virtio/device_page.ts";
import type { ConfigAccess } from "./payload.ts";
import { VHOST_USER_MAX_CONFIG } from "./protocol.ts";

// How often a torn configuration space is looked at again before it is given as it is.
const SPINS = 10_000;

/** The bytes; zeros for what a newer front end knows of the device and this device has not. Null for too many. */
export function readConfig(
  host: WorkerHost,
  offset: number,
  size: number,
): Uint8Array | null {
  if (size > VHOST_USER_MAX_CONFIG || offset + size > MAX_CONFIG) return null;
  const words = wordsOf(host.page);
  const { length } = host.declaration!.config;
  const bytes = new Uint8Array(size);
  for (let spin = 0; spin < SPINS; spin++) {
    const before = Atomics.load(words, CONFIG_GENERATION);
    const end = Math.min(offset + size, length);
    bytes.set(configOf(host.page).subarray(offset, Math.max(offset, end)));
    const after = Atomics.load(words, CONFIG_GENERATION);
    if (before === after && (before & 1) === 0) break;
  }
  return bytes;
}

/** False for what is not there, and for what only a migration may write. */
export async function writeConfig(
  host: WorkerHost,
  { offset, flags, bytes }: ConfigAccess,
): Promise<boolean> {
  const { length } = host.declaration!.config;
  if (flags !== 0 || offset + bytes.length > length) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at < bytes.length;) {
    const size = [4, 2, 1].find((size) =>
      (offset + at) % size === 0 && at + size <= bytes.length
    )!;
    const value = size === 4
      ? view.getUint32(at, true)
      : size === 2
      ? view.getUint16(at, true)
      : view.getUint8(at);
    if (!await host.command(WRITE_CONFIG, offset + at, size, value)) {
      return false;
    }
    at += size;
  }
  return true;
}
