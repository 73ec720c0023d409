// The options of the block device.
import type { OptionsSchema } from "../../core/plugin.ts";

const SECTOR = 512;
const TiB = 2 ** 40;

export const options = {
  path: {
    type: "path",
    description: 'the disk image, a path such as "disk.img"',
  },
  size: {
    type: "size",
    min: 1024,
    max: TiB,
    step: SECTOR * 2,
    optional: true,
    description: "the size of the image to create where it is missing",
  },
  readOnly: {
    type: "boolean",
    default: false,
    description: "the guest may not write to the disk",
  },
  serial: {
    type: "string",
    pattern: "[\\x20-\\x7e]{1,20}",
    optional: true,
    description: "the disk's serial, 1 to 20 printable ASCII characters",
  },
} as const satisfies OptionsSchema;
