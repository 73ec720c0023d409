// Thread: main
// The manifest as the library takes it. The one place where the core names the built-in devices.
import { builtInDevices } from "../../devices/registry.ts";
import { cacheFolder } from "../image/cache.ts";
import type { VmConfig } from "./config.ts";
import { defaultManifest } from "./defaults.ts";
import { loadManifest, MANIFEST_NAME, parseManifest } from "./load.ts";
import { withScript } from "./resolve.ts";
import type { Manifest } from "./manifest.ts";

/** Reads and checks a manifest: a path, a URL, or an object whose paths are relative to `baseDir`. */
export function readManifest(
  source: string | URL | Manifest,
  baseDir: string,
): VmConfig {
  return typeof source === "string" || source instanceof URL
    ? loadManifest(source, builtInDevices)
    : parseManifest(source, baseDir, builtInDevices);
}

/** The named manifest, else `vm.json` here, else the built-in one, whose disk lies in the user's cache folder. */
export function readManifestOrDefault(
  path: string | undefined,
  script: string | undefined,
): VmConfig {
  const config = path === undefined ? readDefault() : readManifest(path, ".");
  return script === undefined ? config : withScript(config, script);
}

function readDefault(): VmConfig {
  try {
    // As `check` does: one that is there and cannot be read is an error, not another machine.
    Deno.lstatSync(MANIFEST_NAME);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    const folder = `${cacheFolder()}/default`;
    Deno.mkdirSync(folder, { recursive: true });
    return parseManifest(defaultManifest(), folder, builtInDevices);
  }
  return readManifest(MANIFEST_NAME, ".");
}
