// The options of the entropy device; it reads the host's generator, which needs no permission.
import type { OptionsSchema } from "../../core/plugin.ts";

const KiB = 1024;

export const options = {
  maxBytes: {
    type: "integer",
    min: 1,
    max: 1024 * KiB,
    default: 64 * KiB,
    description: "the most bytes that one request gets",
  },
} as const satisfies OptionsSchema;
