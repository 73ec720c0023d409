// Thread: main
// `paddock permissions`: the `deno run` command, with the least flags, that runs a manifest.
import { isElf } from "../arch/x86_64/elf.ts";
import { cacheFolder } from "../image/cache.ts";
import type { Registry } from "../manifest/built_in.ts";
import type { BootConfig } from "../manifest/config.ts";
import { loadManifest, MANIFEST_NAME } from "../manifest/load.ts";
import { resolve } from "../manifest/paths.ts";
import { denoFlags, vmPermissions } from "../sandbox/vm_permissions.ts";
import type { ArgsOf } from "./args.ts";
import { printLine, quoteForShell } from "./output.ts";

const ROOT = new URL("../../", import.meta.url);

/** Prints one line for a shell, or with --json the command's words and the permissions. */
export function permissions(
  args: ArgsOf<"permissions">,
  registry: Registry,
): Promise<number> {
  return Promise.try(() => {
    const manifest = resolve(args.manifest ?? MANIFEST_NAME);
    const config = loadManifest(manifest, registry);
    const cache = usesCache(config.boot) ? cacheFolder() : undefined;
    const allowed = vmPermissions(config, { manifest, cache });
    const program = ROOT.protocol === "file:"
      ? decodeURIComponent(ROOT.pathname) + "main.ts"
      : `${ROOT}main.ts`;
    const command = [
      "deno",
      "run",
      "--no-prompt",
      ...denoFlags(allowed),
      program,
      "run",
      // This process is the one with the least flags; it starts no other.
      "--sandbox=off",
      manifest,
    ];
    printLine(
      args.json
        ? JSON.stringify({ command, permissions: allowed })
        : command.map(quoteForShell).join(" "),
    );
    return 0;
  });
}

/** Debian's files are there, and what a bzImage unpacks to; that is only read, so the first run fills it. */
function usesCache(boot: BootConfig): boolean {
  if (boot.kind !== "kernel") return boot.kind === "debian";
  if (boot.protocol === "linux64") return false;
  const magic = new Uint8Array(4);
  using file = Deno.openSync(boot.kernel);
  file.readSync(magic);
  return !isElf(magic);
}
