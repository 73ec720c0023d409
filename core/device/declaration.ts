// Thread: main
// A declaration comes from a device's worker as plain data: checked and copied here before anything believes it.
import type { VirtioConfig } from "../manifest/config.ts";
import { MAX_CONFIG, MAX_QUEUES } from "../virtio/device_page.ts";
import {
  VIRTIO_F_ANY_LAYOUT,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_NOTIFICATION_DATA,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_RING_RESET,
  VIRTIO_F_VERSION_1,
} from "../virtio/constants.ts";
import type { Declaration } from "../virtio/device_host.ts";
import { isInteger, shown } from "./declaration_checks.ts";
import {
  featureProblem,
  MAX_FEATURES,
  sizeProblem,
} from "./module_declaration.ts";

/** A copy of what was declared when all is well, else what the contract asks for. */
export function readDeclaration(declaration: unknown): Declaration | string {
  if (typeof declaration !== "object" || declaration === null) {
    return "declares nothing; its create() returns a VirtioDevice";
  }
  const { id, features, needs, queues, config } = declaration as Record<
    keyof Declaration,
    unknown
  >;
  if (!isInteger(id, 1, 0xffff)) {
    return `declares id ${shown(id)}; a virtio device id is 1 to 65535`;
  }
  if (!Array.isArray(features) || features.length > MAX_FEATURES) {
    return "declares features that are not a list of bit numbers";
  }
  for (const bit of features) {
    const problem = featureProblem(bit);
    if (problem !== null) return problem;
  }
  if (!isNeeds(needs)) {
    return "declares needs of features that are not pairs of bit numbers";
  }
  if (!Array.isArray(queues) || queues.length > MAX_QUEUES) {
    return `declares queues that are not a list of up to ${MAX_QUEUES}`;
  }
  for (const queue of queues) {
    const problem = queueProblem(queue);
    if (problem !== null) return problem;
  }
  if (!(config instanceof Uint8Array) || config.length > MAX_CONFIG) {
    return `declares a configuration space that is not a Uint8Array of up to ${MAX_CONFIG} bytes`;
  }
  return {
    id,
    features: [...features],
    needs: needs.map(([feature, needed]) => [feature, needed] as const),
    queues: queues.map(({ name, size }) => ({ name, size })),
    config: config.slice(),
  };
}

function isNeeds(needs: unknown): needs is Declaration["needs"] {
  const isBit = (bit: unknown) => isInteger(bit, 0, 63);
  return Array.isArray(needs) && needs.length <= MAX_FEATURES ** 2 &&
    needs.every((pair) =>
      Array.isArray(pair) && pair.length === 2 && pair.every(isBit)
    );
}

function queueProblem(queue: unknown): string | null {
  if (typeof queue !== "object" || queue === null) {
    return "declares a queue that is not an object";
  }
  const { name, size } = queue as Record<string, unknown>;
  if (typeof name !== "string" || name.length > 100) {
    return "declares a queue whose name is not a string of up to 100 characters";
  }
  return sizeProblem(name, size);
}

/** The feature words that a driver is offered: the device's own bits, and those of ring and transport. */
export function offeredFeatures(
  declaration: Pick<Declaration, "features">,
  virtio: VirtioConfig,
): [number, number] {
  const bits = [...declaration.features, ...coreFeatures(virtio)];
  const word = (at: number) =>
    bits.filter((bit) => bit >> 5 === at).reduce(
      (all, bit) => all | (1 << (bit & 31)),
      0,
    ) >>> 0;
  return [word(0), word(1)];
}

function coreFeatures(virtio: VirtioConfig): number[] {
  const both = [VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX];
  if (virtio.transport === "legacy") return [...both, VIRTIO_F_ANY_LAYOUT];
  return [
    ...both,
    VIRTIO_F_VERSION_1,
    VIRTIO_F_RING_RESET,
    ...(virtio.ring === "packed" ? [VIRTIO_F_RING_PACKED] : []),
    ...(virtio.inOrder ? [VIRTIO_F_IN_ORDER] : []),
    ...(virtio.notificationData ? [VIRTIO_F_NOTIFICATION_DATA] : []),
  ];
}
