// The console has no options: its bytes go through main, so that it needs no permission.

import { builtIn } from "../../core/manifest/built_in.ts";

export const console = builtIn(
  new URL("./mod.ts", import.meta.url).href,
  {},
  () => ({ options: {} }),
);
