// Thread: main
// The manifest as the library takes it. The one place where the core names the built-in devices.
import { builtInDevices } from "../../devices/registry.ts";
import type { VmConfig } from "./config.ts";
import { loadManifest, parseManifest } from "./load.ts";

/** Reads and checks a manifest: a path, a URL, or an object whose paths are relative to `baseDir`. */
export function readManifest(
  source: string | URL | Readonly<Record<string, unknown>>,
  baseDir: string,
): VmConfig {
  return typeof source === "string" || source instanceof URL
    ? loadManifest(source, builtInDevices)
    : parseManifest(source, baseDir, builtInDevices);
}
