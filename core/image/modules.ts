// Thread: main
// Finds kernel modules and what they depend on, in load order, from the .ko files themselves.

import { HostError } from "../errors.ts";

/** A module as a file on the host; `name` is written with underscores, as /proc/modules shows it. */
export interface KernelModule {
  readonly name: string;
  readonly data: Uint8Array;
}

/**
 * The modules `wanted` in `folder` (…/lib/modules/RELEASE) after those that they need. Names that
 * are no module are taken to be built in. A .deb has no modules.dep, so .modinfo is what is read.
 */
export async function resolveModules(
  folder: string,
  wanted: readonly string[],
): Promise<KernelModule[]> {
  const files = await findModules(folder);
  if (files.size === 0) {
    throw new HostError(
      `${folder} holds no kernel modules; name the folder that depmod calls lib/modules/RELEASE`,
    );
  }
  const ordered = new Map<string, KernelModule>();
  const visit = async (rawName: string): Promise<void> => {
    const name = rawName.replaceAll("-", "_");
    const file = files.get(name);
    if (file === undefined || ordered.has(name)) return;
    const data = await Deno.readFile(file);
    for (const needed of parseDepends(data)) await visit(needed);
    ordered.set(name, { name, data });
  };
  for (const name of wanted) await visit(name);
  return [...ordered.values()];
}

/** The names in the `depends=` entry of a module's .modinfo section. */
export function parseDepends(module: Uint8Array): string[] {
  const key = new TextEncoder().encode("\0depends=");
  const start = indexOfBytes(module, key);
  if (start < 0) return [];
  const end = module.indexOf(0, start + key.length);
  const text = new TextDecoder().decode(
    module.subarray(start + key.length, end),
  );
  return text.split(",").filter((name) => name !== "");
}

function indexOfBytes(bytes: Uint8Array, wanted: Uint8Array): number {
  const text = new TextDecoder("latin1").decode(bytes);
  return text.indexOf(new TextDecoder("latin1").decode(wanted));
}

async function findModules(
  folder: string,
  found = new Map<string, string>(),
): Promise<Map<string, string>> {
  for await (const entry of Deno.readDir(folder)) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) await findModules(path, found);
    else if (entry.name.endsWith(".ko")) {
      found.set(entry.name.slice(0, -3).replaceAll("-", "_"), path);
    }
  }
  return found;
}
