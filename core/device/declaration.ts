// Thread: main
// A declaration comes from a device's worker as plain data: checked here before anything believes it.
import { MAX_CONFIG, MAX_QUEUES } from "../virtio/device_page.ts";
import { MAX_QUEUE_SIZE } from "../virtio/constants.ts";
import type { Declaration } from "./messages.ts";

// Bits 24 to 40 and what is reserved behind them belong to rings and transport (virtio-v1.3 §2.2).
const isDeviceFeature = (bit: number) =>
  Number.isInteger(bit) &&
  ((bit >= 0 && bit <= 23) || (bit >= 50 && bit <= 63));

/** Null when all is well, else what the contract asks for. */
export function checkDeclaration(declaration: Declaration): string | null {
  const { id, features, queues, config } = declaration;
  if (!Number.isInteger(id) || id < 1 || id > 0xffff) {
    return `declares id ${id}; a virtio device id is 1 to 65535`;
  }
  if (!Array.isArray(features)) {
    return "declares features that are not a list of bit numbers";
  }
  const wrong = features.find((bit) => !isDeviceFeature(bit));
  if (wrong !== undefined) {
    return `declares feature bit ${wrong}; a device's own are 0–23 and 50–63 (virtio-v1.3 §2.2)`;
  }
  if (!Array.isArray(queues) || queues.length > MAX_QUEUES) {
    return `declares queues that are not a list of up to ${MAX_QUEUES}`;
  }
  for (const { name, size } of queues) {
    if (
      !Number.isInteger(size) || size < 1 || size > MAX_QUEUE_SIZE ||
      (size & (size - 1)) !== 0
    ) {
      return `declares size ${size} for queue ${name}; it is a power of two up to ${MAX_QUEUE_SIZE} (virtio-v1.3 §2.7)`;
    }
  }
  if (!(config instanceof Uint8Array) || config.length > MAX_CONFIG) {
    return `declares a configuration space that is not a Uint8Array of up to ${MAX_CONFIG} bytes`;
  }
  return null;
}
