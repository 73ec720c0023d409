// Thread: main
// What a device gets that no manifest describes: its options, checked and complete, and what it asks for.
import {
  type BuiltIn,
  type DiskConfig,
  NOTHING,
  type PermissionSet,
} from "../manifest/built_in.ts";
import { resolve } from "../manifest/paths.ts";
import { askedPermissions } from "./asks.ts";
import { checkAsks, checkOptions } from "./check_plugins.ts";
import { inspectModule } from "./inspect.ts";
import { cacheModule, importHosts, isRemote } from "./remote_module.ts";

export interface PreparedDevice {
  readonly options: Readonly<Record<string, unknown>>;
  readonly permissions: PermissionSet;
  readonly disk?: DiskConfig | undefined;
}

/**
 * Checks options as a manifest has them, with paths relative to the working directory. `granted` is what a module may
 * have, or "asked": what it asks for; a built-in device has what its options imply. Returns one line where the module
 * declares nothing. Throws a ManifestError about `field` for the options, and for what is asked and not granted.
 */
export async function prepareDevice(
  module: string,
  builtIn: BuiltIn | undefined,
  given: Readonly<Record<string, unknown>>,
  field: string,
  granted: PermissionSet | "asked",
): Promise<PreparedDevice | string> {
  const folder = resolve(".");
  if (builtIn !== undefined) {
    const options = checkOptions(builtIn, given, field, folder);
    const { permissions, disk } = builtIn.configure(options);
    return { options, permissions: { ...NOTHING, ...permissions }, disk };
  }
  if (isRemote(module)) await cacheModule(module, importHosts(module), "");
  const declaration = await inspectModule(module, [], given);
  if (typeof declaration === "string") return declaration;
  const options = checkOptions(declaration, given, field, folder);
  const asked = askedPermissions(declaration, options, folder);
  if (granted === "asked") return { options, permissions: asked };
  checkAsks(asked, granted, "--permissions");
  return { options, permissions: granted };
}
