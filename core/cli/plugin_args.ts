// Thread: main
// What the `plugin` commands take, and what they are given as.

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
  }
  | {
    readonly command: "plugin serve";
    readonly module: string;
    readonly options: GivenOptions;
    readonly socket: string;
  };

const MODULE = { operand: "module", operandRequired: true } as const;

/** What each takes: its one operand, and its own options. */
export const PLUGIN_COMMANDS = {
  "plugin new": { operand: "name", operandRequired: true, options: ["force"] },
  "plugin test": { ...MODULE, options: ["options"] },
  "plugin list": { operand: "manifest", options: [] },
  "plugin inspect": { ...MODULE, options: [] },
  "plugin serve": { ...MODULE, options: ["options", "socket"] },
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
      return { command, module: operand!, options: optionsOf(flags) };
    case "plugin serve":
      return {
        command,
        module: operand!,
        options: optionsOf(flags),
        socket: socketOf(flags),
      };
  }
}

function optionsOf({ options }: Readonly<Record<string, unknown>>) {
  if (options === undefined) return {};
  const value = parseJson(`${options}`);
  const isObject = typeof value === "object" && value !== null &&
    !Array.isArray(value);
  if (isObject) return value as GivenOptions;
  throw new UsageError(
    `--options must be a JSON object such as '{ "path": "disk.img" }', not ${
      quote(options)
    }`,
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
