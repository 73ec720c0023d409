// Thread: main
// What a driver sees before it uses a queue: registers, features, configuration space; and DRIVER_OK.
import {
  VIRTIO_F_VERSION_1,
  VIRTIO_MMIO_CONFIG,
  VIRTIO_MMIO_CONFIG_GENERATION,
  VIRTIO_MMIO_DEVICE_ID,
  VIRTIO_MMIO_MAGIC,
  VIRTIO_MMIO_MAGIC_VALUE,
  VIRTIO_MMIO_QUEUE_SEL,
  VIRTIO_MMIO_QUEUE_SIZE_MAX,
  VIRTIO_MMIO_VERSION,
} from "../virtio/constants.ts";
import { type PlacedField, placeFields } from "../virtio/config_layout.ts";
import { type Bench, hasBit } from "./bench.ts";
import { api, count, Finding, type PlannedCheck, virtio } from "./check.ts";
import type { RingFormat } from "./ring.ts";

/** How often a field is read to see whether it is stable. */
const READS = 20;
/** What a driver with 32-bit registers reads at once. */
const WIDEST = 4;

export const REGISTERS: PlannedCheck = {
  name: "id and queue sizes are what the registers show",
  section: virtio("4.2.2.1"),
  asks: "DeviceID and each queue's QueueSizeMax are those that are declared.",
  async run({ machine, declaration, queues }) {
    const expect = async (what: string, offset: number, wanted: number) => {
      const value = await machine.read(offset);
      if (value === wanted) return;
      throw new Finding(`${what} reads ${value}, declared is ${wanted}`);
    };
    await expect("MagicValue", VIRTIO_MMIO_MAGIC_VALUE, VIRTIO_MMIO_MAGIC);
    await expect("Version", VIRTIO_MMIO_VERSION, 2);
    await expect("DeviceID", VIRTIO_MMIO_DEVICE_ID, declaration.id);
    const sizes = [...queues, { name: "none", size: 0 }];
    for (const [index, { name, size }] of sizes.entries()) {
      await machine.write(VIRTIO_MMIO_QUEUE_SEL, index);
      const what = `QueueSizeMax of queue ${index} (${name})`;
      await expect(what, VIRTIO_MMIO_QUEUE_SIZE_MAX, size);
    }
    return `id ${declaration.id}, ${count(queues.length, "queue")}`;
  },
};

export const OFFERED_FEATURES: PlannedCheck = {
  name: "offers features that it declares",
  section: api("VirtioDevice"),
  asks: "What create() says that it offers is declared under features.",
  async run(bench) {
    const offered = await bench.offered();
    if (!hasBit(offered, VIRTIO_F_VERSION_1)) {
      throw new Finding("VIRTIO_F_VERSION_1 is not offered");
    }
    const declared = Object.entries(bench.declaration.features);
    const strange = bench.machine.host.declaration!.features.find((bit) =>
      !declared.some(([, one]) => one === bit) || !hasBit(offered, bit)
    );
    if (strange !== undefined) {
      throw new Finding(`feature bit ${strange} is offered and not declared`);
    }
    return declared.filter(([, bit]) => hasBit(offered, bit))
      .map(([name]) => name).join(", ") || "none";
  },
};

export const FEATURES_OK: PlannedCheck = {
  name: "takes all features that it offers, and VERSION_1 alone",
  section: virtio("2.2.2"),
  asks: "A device accepts any valid subset of the features that it offers.",
  async run(bench) {
    if (!await bench.negotiate(await bench.offered())) {
      throw new Finding("FEATURES_OK did not stay set with all features");
    }
    if (!await bench.negotiate([0, 1 << (VIRTIO_F_VERSION_1 - 32)])) {
      throw new Finding("FEATURES_OK did not stay set with VERSION_1 alone");
    }
  },
};

export const CONFIG_ALIGNED: PlannedCheck = {
  name: "config fields lie where a driver can read them",
  section: virtio("2.5.1"),
  asks:
    "Drivers read a field with its own width, aligned: numbers lie at multiples of their size (a u64 of 4). " +
    "What is unused in front of one is a field too.",
  run({ declaration }) {
    for (const { name, offset, size, isBytes } of fields(declaration.config)) {
      const align = Math.min(size, WIDEST);
      if (isBytes || offset % align === 0) continue;
      return Promise.reject(
        new Finding(`${name} lies at ${offset}, no multiple of ${align}`),
      );
    }
    return Promise.resolve();
  },
};

export const CONFIG_STABLE: PlannedCheck = {
  name: "config fields can be read, and change with ConfigGeneration only",
  section: virtio("2.5.2"),
  asks: "ConfigGeneration changes whenever a field does: use updateConfig().",
  async run(bench) {
    const layout = fields(bench.declaration.config);
    await bench.begin();
    for (const field of layout) {
      const first = await readStable(bench, field);
      for (let i = 1; i < READS; i++) {
        const again = await readStable(bench, field);
        if (again.generation !== first.generation) break;
        if (again.value === first.value) continue;
        throw new Finding(
          `${field.name} read ${first.value}, then ${again.value}, in one generation`,
        );
      }
    }
    return count(layout.length, "field");
  },
};

export const CONFIG_READ_ONLY: PlannedCheck = {
  name: "a driver's writes change writable config fields only",
  section: virtio("2.5.2"),
  asks:
    "Fields that are not declared writable stay as they are; configWritten() does not throw.",
  async run(bench) {
    const layout = fields(bench.declaration.config);
    // Nothing is written before (§3.1.1).
    await bench.negotiate(await bench.offered());
    for (const field of layout) {
      const before = await readStable(bench, field);
      for (const { offset, size } of accesses(field)) {
        const at = VIRTIO_MMIO_CONFIG + offset;
        const old = await bench.machine.read(at, size);
        await bench.machine.write(at, (~old & mask(size)) >>> 0, size);
        if (field.writable) await bench.machine.write(at, old, size);
      }
      const after = await readStable(bench, field);
      const same = after.value === before.value ||
        after.generation !== before.generation;
      if (field.writable || same) continue;
      throw new Finding(
        `${field.name} was ${before.value}, and is ${after.value} after the driver's write`,
      );
    }
    const writable = layout.filter((field) => field.writable).length;
    return `${count(writable, "field")} writable`;
  },
};

/** DRIVER_OK with a ring for every queue, and with rings for none. */
export function activation(format: RingFormat): PlannedCheck {
  return {
    name: `${format} rings: every queue can be activated, and none need be`,
    section: api("VirtioDevice"),
    asks:
      "activate() comes along with any choice of queues: context.queue() is null for those that the driver left out.",
    async run(bench) {
      await bench.bringUp({ format });
      await bench.bringUp({ format, queues: [] });
      await bench.bringUp({ format, queues: [], features: "none" });
    },
  };
}

const fields = placeFields;

/** Aligned accesses of up to 32 bits that make a field up. */
function accesses(
  { offset, size }: PlacedField,
): { offset: number; size: number }[] {
  const found: { offset: number; size: number }[] = [];
  for (let at = offset; at < offset + size;) {
    const left = offset + size - at;
    const width = [4, 2, 1].find((one) => one <= left && at % one === 0)!;
    found.push({ offset: at, size: width });
    at += width;
  }
  return found;
}

/** A field between two equal generations (§2.5.1), as hex. */
async function readStable(
  { machine }: Bench,
  field: PlacedField,
): Promise<{ generation: number; value: string }> {
  for (;;) {
    const generation = await machine.read(VIRTIO_MMIO_CONFIG_GENERATION);
    let value = "";
    for (const { offset, size } of accesses(field)) {
      const part = await machine.read(VIRTIO_MMIO_CONFIG + offset, size);
      value = part.toString(16).padStart(2 * size, "0") + value;
    }
    const after = await machine.read(VIRTIO_MMIO_CONFIG_GENERATION);
    if (after === generation) return { generation, value: `0x${value}` };
    if (machine.host.failed) throw new Finding("the device is gone");
  }
}

const mask = (size: number): number => 2 ** (8 * size) - 1;
