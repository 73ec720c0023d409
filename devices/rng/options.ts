// The options of the entropy device; it reads the host's generator, which needs no permission.

import * as v from "valibot";
import { builtIn } from "../../core/manifest/built_in.ts";
import { integer } from "../../core/manifest/fields.ts";

const KiB = 1024;

export const rng = builtIn(
  new URL("./mod.ts", import.meta.url).href,
  {
    maxBytes: v.optional(
      integer(1, 1024 * KiB, "the most bytes that one request gets"),
      64 * KiB,
    ),
  },
  ({ maxBytes }) => ({ options: { maxBytes } }),
);
