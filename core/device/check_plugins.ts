// Thread: main
// Before anything starts: what each plugin declares, the manifest's options against it, and what it asks for against
// what it is granted.
import * as v from "valibot";
import { ManifestError } from "../errors.ts";
import type { PermissionSet } from "../manifest/built_in.ts";
import {
  type DeviceConfig,
  isApart,
  type VmConfig,
} from "../manifest/config.ts";
import { object } from "../manifest/fields.ts";
import { schemaError } from "../manifest/load.ts";
import {
  optionEntries,
  type OptionsSchema,
  resolveOptions,
} from "../manifest/options.ts";
import { resolve } from "../manifest/paths.ts";
import { quote } from "../manifest/text.ts";
import type { PermissionName } from "../plugin.ts";
import { covers } from "../sandbox/grants.ts";
import type { Walls } from "../sandbox/walls.ts";
import { askedPermissions } from "./asks.ts";
import { configSize, placeFields } from "../virtio/config_layout.ts";
import { type Inspected, inspectModule } from "./inspect.ts";
import { type ModuleDeclaration, needsOf } from "./module_declaration.ts";
import { cacheModule, fetchModule, isRemote } from "./remote_module.ts";

/**
 * The configuration with each plugin's options checked and filled in; their modules are asked behind the machine's walls,
 * if those are there. Throws a ManifestError.
 */
export async function checkPlugins(
  config: VmConfig,
  walls: Partial<Walls> = {},
): Promise<VmConfig> {
  const devices = await Promise.all(
    config.devices.map((device) =>
      isApart(device) ? checkPlugin(device, config.folder, walls) : device
    ),
  );
  return { ...config, devices };
}

async function checkPlugin(
  device: DeviceConfig,
  folder: string,
  walls: Partial<Walls>,
): Promise<DeviceConfig> {
  const field = `devices[${device.index}]`;
  if (isRemote(device.module)) {
    await fetchModule(device.module, device.integrity, field);
  }
  const declaration = await inspect(device, field, walls);
  if (typeof declaration === "string") {
    throw new ManifestError(
      `${field}.use`,
      `${quote(device.module)} ${declaration}`,
    );
  }
  const declared = {
    id: declaration.id,
    queues: Object.values(declaration.queues),
    configSize: configSize(placeFields(declaration.config)),
    needs: needsOf(declaration),
  };
  if (device.builtIn) return { ...device, declared };
  const options = checkOptions(declaration, device.options, field, folder);
  const asked = askedPermissions(declaration, options, folder);
  checkAsks(asked, device.permissions, `${field}.permissions`);
  return { ...device, options, declared };
}

/** What a module here imports from elsewhere is fetched now if it never was, and not when the VM runs. */
async function inspect(
  { module, permissions, options, builtIn }: DeviceConfig,
  field: string,
  walls: Partial<Walls>,
): Promise<Inspected | string> {
  const given = builtIn ? {} : options;
  const first = await inspectModule(module, permissions.read, given, walls);
  if (typeof first !== "string" || !first.includes("--cached-only")) {
    return first;
  }
  await cacheModule(module, permissions.import, field);
  return await inspectModule(module, permissions.read, given, walls);
}

/** The options with defaults and absolute paths; throws a ManifestError. Patterns of a plugin were tried elsewhere. */
export function checkOptions(
  declared: Pick<ModuleDeclaration, "options"> & {
    readonly unmatched?: readonly string[];
  },
  given: Readonly<Record<string, unknown>>,
  field: string,
  folder: string,
): Record<string, unknown> {
  const { options, unmatched } = declared;
  const schema = unmatched === undefined ? options : withoutPatterns(options);
  const form = object(optionEntries(schema), "a device");
  const result = v.safeParse(form, given);
  if (!result.success) throw schemaError(result.issues, field);
  const wrong = unmatched?.find((name) => Object.hasOwn(options, name));
  if (wrong !== undefined) {
    throw new ManifestError(
      `${field}.${wrong}`,
      `must be ${options[wrong]!.description}, not ${quote(given[wrong])}`,
    );
  }
  return resolveOptions(schema, result.output, (path) => resolve(folder, path));
}

function withoutPatterns(options: OptionsSchema): OptionsSchema {
  return Object.fromEntries(
    Object.entries(options).map(([name, option]) => {
      if (option.type !== "string") return [name, option];
      const { pattern: _pattern, ...rest } = option;
      return [name, rest];
    }),
  );
}

/** What is asked for and not granted is said before start, not found out by a guest. `field` has the grants. */
export function checkAsks(
  asked: PermissionSet,
  granted: PermissionSet,
  field: string,
): void {
  for (const kind of Object.keys(asked) as PermissionName[]) {
    for (const value of asked[kind]) {
      if (granted[kind].some((grant) => covers(kind, grant, value))) continue;
      throw new ManifestError(
        `${field}.${kind}`,
        `the device asks for ${quote(value)}, which is not granted; add it`,
      );
    }
  }
}
