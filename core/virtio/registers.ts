// Thread: any
// Names of the virtio-mmio registers and of what their values mean, for diagnosis and traces.
import * as c from "./constants.ts";
import { deviceTypeName } from "./device_types.ts";

const NAMES: Readonly<Record<number, string>> = {
  [c.VIRTIO_MMIO_MAGIC_VALUE]: "MagicValue",
  [c.VIRTIO_MMIO_VERSION]: "Version",
  [c.VIRTIO_MMIO_DEVICE_ID]: "DeviceID",
  [c.VIRTIO_MMIO_VENDOR_ID]: "VendorID",
  [c.VIRTIO_MMIO_DEVICE_FEATURES]: "DeviceFeatures",
  [c.VIRTIO_MMIO_DEVICE_FEATURES_SEL]: "DeviceFeaturesSel",
  [c.VIRTIO_MMIO_DRIVER_FEATURES]: "DriverFeatures",
  [c.VIRTIO_MMIO_DRIVER_FEATURES_SEL]: "DriverFeaturesSel",
  [c.VIRTIO_MMIO_QUEUE_SEL]: "QueueSel",
  [c.VIRTIO_MMIO_QUEUE_SIZE_MAX]: "QueueSizeMax",
  [c.VIRTIO_MMIO_QUEUE_SIZE]: "QueueSize",
  [c.VIRTIO_MMIO_QUEUE_READY]: "QueueReady",
  [c.VIRTIO_MMIO_QUEUE_NOTIFY]: "QueueNotify",
  [c.VIRTIO_MMIO_INTERRUPT_STATUS]: "InterruptStatus",
  [c.VIRTIO_MMIO_INTERRUPT_ACK]: "InterruptACK",
  [c.VIRTIO_MMIO_STATUS]: "Status",
  [c.VIRTIO_MMIO_QUEUE_DESC_LOW]: "QueueDescLow",
  [c.VIRTIO_MMIO_QUEUE_DESC_HIGH]: "QueueDescHigh",
  [c.VIRTIO_MMIO_QUEUE_DRIVER_LOW]: "QueueDriverLow",
  [c.VIRTIO_MMIO_QUEUE_DRIVER_HIGH]: "QueueDriverHigh",
  [c.VIRTIO_MMIO_QUEUE_DEVICE_LOW]: "QueueDeviceLow",
  [c.VIRTIO_MMIO_QUEUE_DEVICE_HIGH]: "QueueDeviceHigh",
  [c.VIRTIO_MMIO_SHM_SEL]: "SHMSel",
  [c.VIRTIO_MMIO_SHM_LEN_LOW]: "SHMLenLow",
  [c.VIRTIO_MMIO_SHM_LEN_HIGH]: "SHMLenHigh",
  [c.VIRTIO_MMIO_SHM_BASE_LOW]: "SHMBaseLow",
  [c.VIRTIO_MMIO_SHM_BASE_HIGH]: "SHMBaseHigh",
  [c.VIRTIO_MMIO_QUEUE_RESET]: "QueueReset",
  [c.VIRTIO_MMIO_CONFIG_GENERATION]: "ConfigGeneration",
  // Legacy only (§4.2.4).
  [c.VIRTIO_MMIO_GUEST_PAGE_SIZE]: "GuestPageSize",
  [c.VIRTIO_MMIO_QUEUE_ALIGN]: "QueueAlign",
  [c.VIRTIO_MMIO_QUEUE_PFN]: "QueuePFN",
};

const STATUS_BITS: ReadonlyArray<readonly [number, string]> = [
  [c.ACKNOWLEDGE, "ACKNOWLEDGE"],
  [c.DRIVER, "DRIVER"],
  [c.FEATURES_OK, "FEATURES_OK"],
  [c.DRIVER_OK, "DRIVER_OK"],
  [c.DEVICE_NEEDS_RESET, "DEVICE_NEEDS_RESET"],
  [c.FAILED, "FAILED"],
];
const INTERRUPT_BITS: ReadonlyArray<readonly [number, string]> = [
  [c.VIRTIO_MMIO_INT_VRING, "vring"],
  [c.VIRTIO_MMIO_INT_CONFIG, "config"],
];

const FEATURES: Readonly<Record<number, string>> = {
  [c.VIRTIO_F_ANY_LAYOUT]: "ANY_LAYOUT",
  [c.VIRTIO_F_INDIRECT_DESC]: "INDIRECT_DESC",
  [c.VIRTIO_F_EVENT_IDX]: "EVENT_IDX",
  [c.VIRTIO_F_VERSION_1]: "VERSION_1",
  [c.VIRTIO_F_RING_PACKED]: "RING_PACKED",
  [c.VIRTIO_F_IN_ORDER]: "IN_ORDER",
  [c.VIRTIO_F_NOTIFICATION_DATA]: "NOTIFICATION_DATA",
  [c.VIRTIO_F_RING_RESET]: "RING_RESET",
};

/** "QueueNotify" for 0x050, "config+4" for 0x104, "0x0cc" for what is not a register. */
export function registerName(offset: number): string {
  if (offset >= c.VIRTIO_MMIO_CONFIG) {
    return `config+${offset - c.VIRTIO_MMIO_CONFIG}`;
  }
  return NAMES[offset] ?? `0x${offset.toString(16).padStart(3, "0")}`;
}

/**
 * What a register's value means in words: "ACKNOWLEDGE|DRIVER"; "" where it means just its number.
 * `select` is which word of features is meant, where it is one: device features are their numbers, "0|5|EVENT_IDX".
 */
export function decodeValue(
  offset: number,
  value: number,
  select: number,
): string {
  switch (offset) {
    case c.VIRTIO_MMIO_DEVICE_ID:
      return deviceTypeName(value);
    case c.VIRTIO_MMIO_DEVICE_FEATURES:
    case c.VIRTIO_MMIO_DRIVER_FEATURES:
      return features(value, select) || "none";
    case c.VIRTIO_MMIO_STATUS:
      return bits(STATUS_BITS, value) || "reset";
    case c.VIRTIO_MMIO_INTERRUPT_STATUS:
    case c.VIRTIO_MMIO_INTERRUPT_ACK:
      return bits(INTERRUPT_BITS, value) || "none";
    case c.VIRTIO_MMIO_MAGIC_VALUE:
      return value === c.VIRTIO_MMIO_MAGIC ? '"virt"' : "";
    default:
      return "";
  }
}

function features(value: number, select: number): string {
  const numbers = Array.from({ length: 32 }, (_bit, bit) => bit)
    .filter((bit) => (value >>> bit) & 1)
    .map((bit) => select * 32 + bit);
  return numbers.map((number) => FEATURES[number] ?? number).join("|");
}

function bits(
  names: ReadonlyArray<readonly [number, string]>,
  value: number,
): string {
  return names.filter(([bit]) => value & bit).map(([, name]) => name).join("|");
}
