// The built-in devices, by the name that `use` gives in a manifest.

import type { Registry } from "../core/manifest/built_in.ts";
import { block } from "./block/options.ts";
import { console } from "./console/options.ts";
import { rng } from "./rng/options.ts";

export const builtInDevices: Registry = new Map([
  ["console", console],
  ["block", block],
  ["rng", rng],
]);
