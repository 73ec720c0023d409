// Thread: main
// `paddock check`: says what a manifest comes to, and starts nothing.

import { checkPlugins } from "../device/check_plugins.ts";
import { ManifestError } from "../errors.ts";
import type { Registry } from "../manifest/built_in.ts";
import type { VmConfig } from "../manifest/config.ts";
import { loadDefault, loadManifest } from "../manifest/load.ts";
import { formatSize } from "../manifest/size.ts";
import type { ArgsOf } from "./args.ts";
import { printLine } from "./output.ts";

const BOOTS = {
  debian: "Debian's kernel",
  kernel: "a kernel",
  flat: "a flat image",
} as const;

/** Prints one line, or with --json the whole configuration or the error. */
export async function check(
  args: ArgsOf<"check">,
  registry: Registry,
): Promise<number> {
  try {
    const config = await checkPlugins(
      args.manifest === undefined
        ? loadDefault(".", registry)
        : loadManifest(args.manifest, registry),
    );
    const result = { ok: true, config };
    printLine(args.json ? JSON.stringify(result) : summary(config));
    return 0;
  } catch (error) {
    if (!args.json || !(error instanceof ManifestError)) throw error;
    const { path, message } = error;
    printLine(JSON.stringify({ ok: false, path, message }));
    return 2;
  }
}

function summary({ name, cpus, memory, boot, devices }: VmConfig): string {
  const cpuCount = cpus === 1 ? "1 CPU" : `${cpus} CPUs`;
  const names = devices.map((device) => device.name).join(", ");
  return `ok: ${name} boots ${BOOTS[boot.kind]} with ${cpuCount}, ` +
    `${formatSize(memory)} and ${names || "no devices"}`;
}
