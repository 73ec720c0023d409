// Thread: main
// What a `plugin` command is about: a built-in device by its name, or a module by its path or URL, and what it declares.
import { cacheModule, importHosts, isRemote } from "../device/remote_module.ts";
import { inspectModule } from "../device/inspect.ts";
import type { ModuleDeclaration } from "../device/module_declaration.ts";
import { ManifestError } from "../errors.ts";
import type { BuiltIn, PermissionSet, Registry } from "../manifest/built_in.ts";
import { exampleModule } from "../manifest/examples.ts";
import type { OptionSchema } from "../manifest/options.ts";
import { resolve, toFileUrl } from "../manifest/paths.ts";
import { kindOf } from "../manifest/resolve.ts";
import { nearest, oneLine, quote } from "../manifest/text.ts";
import type { PermissionAsks } from "../plugin.ts";
import { UsageError } from "./usage.ts";

export interface FoundModule {
  /** "block", or what a manifest would call the module's first device without its number. */
  readonly name: string;
  /** A URL. */
  readonly module: string;
  readonly builtIn: BuiltIn | undefined;
}

const REMOTE = /^(npm:|jsr:|https:|http:\/\/127\.0\.0\.1[:/])/;
/** What a folder is, when it is named instead of its module. */
const MODULE_NAME = "mod.ts";

/** Finds the module; throws a UsageError where there is none. */
export function findModule(use: string, registry: Registry): FoundModule {
  const builtIn = registry.get(use);
  if (builtIn !== undefined) {
    return { name: use, module: builtIn.module, builtIn };
  }
  const module = REMOTE.test(use)
    ? use
    : toFileUrl(moduleFile(use, registry)).href;
  return { name: kindOf(module), module, builtIn };
}

function moduleFile(use: string, registry: Registry): string {
  const path = resolve(use);
  const info = statOf(path);
  if (info?.isFile) return path;
  const inside = resolve(path, MODULE_NAME);
  if (info !== null && statOf(inside) !== null) return inside;
  const example = exampleModule(use);
  if (example !== null) {
    throw new UsageError(
      `${
        quote(use)
      } is an example, no built-in device; name its module: ${example}`,
    );
  }
  const names = [...registry.keys()];
  const meant = /[./]/.test(use) ? undefined : nearest(use, names);
  if (meant !== undefined) {
    throw new UsageError(
      `There is no built-in device ${quote(use)}; did you mean ${meant}?`,
    );
  }
  const problem = info === null ? "does not exist" : `has no ${MODULE_NAME}`;
  throw new UsageError(
    `${quote(use)} ${problem}; name a module's file, or a built-in device: ${
      names.join(", ")
    }`,
  );
}

function statOf(path: string): Deno.FileInfo | null {
  try {
    return Deno.statSync(path);
  } catch {
    return null;
  }
}

/** What the module declares; throws a ManifestError that says why there is nothing. */
export async function declarationOf(
  { module }: FoundModule,
): Promise<ModuleDeclaration> {
  if (isRemote(module)) await cacheModule(module, importHosts(module), "");
  const declaration = await inspectModule(module);
  if (typeof declaration !== "string") return declaration;
  throw new ManifestError("", `${quote(module)} ${declaration}`);
}

/** What a device asks for, as in "net: the value of option url". */
export function asksOf(
  { builtIn }: FoundModule,
  { permissions, options }: ModuleDeclaration,
): string[] {
  const asks = builtIn === undefined
    ? permissions
    : impliedAsks(builtIn, options);
  return Object.entries(asks).flatMap(([kind, values]) =>
    values.map((value) =>
      typeof value === "string"
        ? `${kind}: ${oneLine(value)}`
        : `${kind}: the value of option ${oneLine(value.option)}`
    )
  );
}

/** What a built-in device's options make the host grant: it is asked with their names for values. */
function impliedAsks(
  builtIn: BuiltIn,
  options: Readonly<Record<string, OptionSchema>>,
): PermissionAsks {
  const { permissions = {} } = builtIn.configure(namesAsValues(options));
  return Object.fromEntries(
    Object.entries(permissions).map(([kind, values]) => [
      kind,
      values.map((value) => {
        const option = Object.keys(options).find((name) =>
          value === markOf(name)
        );
        return option === undefined ? value : { option };
      }),
    ]),
  );
}

const markOf = (name: string) => `<${name}>`;

function namesAsValues(
  options: Readonly<Record<string, OptionSchema>>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).map(([name, option]) => [
      name,
      option.type === "path" ? markOf(name) : option.default,
    ]),
  );
}

/** "block is granted what it asks for: read /tmp/disk.img". */
export function grantLine(name: string, permissions: PermissionSet): string {
  const all = Object.entries(permissions).flatMap(([kind, values]) =>
    values.map((value: string) => oneLine(`${kind} ${value}`))
  );
  return `${name} is granted ${
    all.length === 0
      ? "nothing, as it asks for nothing"
      : `what it asks for: ${all.join(", ")}`
  }`;
}
