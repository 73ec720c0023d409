// Thread: main
// What a device asks for with the options that it is given.
import type { PermissionSet } from "../manifest/built_in.ts";
import { findProgram, resolve } from "../manifest/paths.ts";
import type { PermissionName } from "../plugin.ts";
import type { ModuleDeclaration } from "./module_declaration.ts";

/** All that the device asks for, and no more; paths are relative to `folder`. */
export function askedPermissions(
  { permissions }: Pick<ModuleDeclaration, "permissions">,
  options: Readonly<Record<string, unknown>>,
  folder: string,
): PermissionSet {
  const asked = (kind: PermissionName): string[] =>
    (permissions[kind] ?? []).flatMap((ask) =>
      typeof ask === "string"
        ? ask
        // Undefined where it is optional; a list is all of its values.
        : (options[ask.option] ?? []) as string | string[]
    ).map((value) => askedValue(kind, value, folder));
  return {
    read: asked("read"),
    write: asked("write"),
    net: asked("net"),
    env: asked("env"),
    run: asked("run"),
    import: asked("import"),
  };
}

function askedValue(
  kind: PermissionName,
  value: string,
  folder: string,
): string {
  if (kind === "read" || kind === "write") return resolve(folder, value);
  if (kind === "run") return findProgram(value, folder) ?? value;
  if (kind !== "net" || !URL.canParse(value)) return value;
  const { protocol, hostname, port } = new URL(value);
  if (hostname === "") return value;
  return `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
}
