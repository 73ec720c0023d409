// The built-in devices, by the name that `use` gives in a manifest, and what each one's options make the host do.
import { builtIn, type Registry } from "../core/manifest/built_in.ts";
import { options as blockOptions } from "./block/options.ts";
import { options as rngOptions } from "./rng/options.ts";

const moduleOf = (name: string) =>
  new URL(`./${name}/mod.ts`, import.meta.url).href;

/** The block device opens its one file. */
const block = builtIn(moduleOf("block"), blockOptions, (options) => {
  const { path, readOnly, size } = options;
  return {
    permissions: readOnly ? { read: [path] } : { read: [path], write: [path] },
    disk: {
      field: "path",
      path,
      writable: !readOnly,
      // An empty disk that nobody can write to is a mistake in the path.
      createSize: readOnly ? undefined : size,
    },
  };
});

export const builtInDevices: Registry = new Map([
  // Its bytes go through main, so that it needs no permission.
  ["console", builtIn(moduleOf("console"), {})],
  ["block", block],
  // It reads the host's generator, which needs none either.
  ["rng", builtIn(moduleOf("rng"), rngOptions)],
]);
