// Thread: main
// What the `plugin` commands take, and what they are given as.

import { NOTHING, type PermissionSet } from "../manifest/built_in.ts";
import { findProgram, resolve } from "../manifest/paths.ts";
import { quote } from "../manifest/text.ts";
import { UsageError } from "./usage.ts";

/** A device's options as the manifest would have them beside `use`. */
type GivenOptions = Readonly<Record<string, unknown>>;

export type PluginCommand =
  | {
    readonly command: "plugin new";
    /** The folder to write; its name is the device's. */
    readonly dir: string;
    readonly force: boolean;
  }
  | {
    readonly command: "plugin list";
    /** Undefined: without the devices of a manifest. */
    readonly manifest: string | undefined;
  }
  | {
    readonly command: "plugin inspect";
    /** A built-in device's name, a path, or a module's URL. */
    readonly module: string;
  }
  | {
    readonly command: "plugin test";
    readonly module: string;
    readonly options: GivenOptions;
    readonly permissions: PermissionSet;
  }
  | {
    readonly command: "plugin serve";
    readonly module: string;
    readonly options: GivenOptions;
    readonly permissions: PermissionSet;
    readonly socket: string;
  };

const MODULE = { operand: "module", operandRequired: true } as const;

/** What each takes: its one operand, and its own options. */
export const PLUGIN_COMMANDS = {
  "plugin new": { operand: "name", operandRequired: true, options: ["force"] },
  "plugin test": { ...MODULE, options: ["options", "permissions"] },
  "plugin list": { operand: "manifest", options: [] },
  "plugin inspect": { ...MODULE, options: [] },
  "plugin serve": { ...MODULE, options: ["options", "permissions", "socket"] },
} as const satisfies Record<PluginCommand["command"], unknown>;

/** The command with its arguments; `operand` is there where it is required. */
export function pluginCommand(
  command: PluginCommand["command"],
  operand: string | undefined,
  flags: Readonly<Record<string, unknown>>,
): PluginCommand {
  switch (command) {
    case "plugin new":
      return { command, dir: operand!, force: flags.force === true };
    case "plugin list":
      return { command, manifest: operand };
    case "plugin inspect":
      return { command, module: operand! };
    case "plugin test":
      return {
        command,
        module: operand!,
        options: optionsOf(flags),
        permissions: permissionsOf(flags),
      };
    case "plugin serve":
      return {
        command,
        module: operand!,
        options: optionsOf(flags),
        permissions: permissionsOf(flags),
        socket: socketOf(flags),
      };
  }
}

function optionsOf({ options }: Readonly<Record<string, unknown>>) {
  return objectOf("options", options, '{ "path": "disk.img" }');
}

/** As a manifest grants them; none without the option. Paths are relative to the working directory. */
function permissionsOf(
  { permissions }: Readonly<Record<string, unknown>>,
): PermissionSet {
  const example = '{ "read": ["data"] }';
  const given = objectOf("permissions", permissions, example);
  const wrong = Object.entries(given).find(([kind, list]) =>
    !Object.hasOwn(NOTHING, kind) || !Array.isArray(list) ||
    !list.every((value) => typeof value === "string")
  );
  if (wrong !== undefined) {
    throw new UsageError(
      `--permissions must have lists by ${
        Object.keys(NOTHING).join(", ")
      }, such as '${example}', not ${quote(wrong[0])}`,
    );
  }
  const all = { ...NOTHING, ...given } as PermissionSet;
  return {
    ...all,
    read: all.read.map((path) => resolve(path)),
    write: all.write.map((path) => resolve(path)),
    run: all.run.map((name) => findProgram(name, ".") ?? name),
  };
}

function objectOf(
  name: string,
  given: unknown,
  example: string,
): Readonly<Record<string, unknown>> {
  if (given === undefined) return {};
  const value = parseJson(`${given}`);
  const isObject = typeof value === "object" && value !== null &&
    !Array.isArray(value);
  if (isObject) return value as GivenOptions;
  throw new UsageError(
    `--${name} must be a JSON object such as '${example}', not ${quote(given)}`,
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function socketOf({ socket }: Readonly<Record<string, unknown>>): string {
  if (typeof socket === "string") return socket;
  throw new UsageError(
    "plugin serve needs --socket PATH, where a front end such as QEMU connects",
  );
}
