// Thread: main
// Command-line arguments → one typed command, or a one-line UsageError.

import { parseArgs } from "@std/cli/parse-args";
import { TRACE_KINDS, type TraceKind } from "../virtio/trace.ts";
import type { SandboxLevel, WallOptions } from "../sandbox/walls.ts";
import { nearest, quote } from "../manifest/text.ts";
import { allOptions, COMMANDS, splitCommand, topicOf } from "./commands.ts";
import {
  PLUGIN_COMMANDS,
  type PluginCommand,
  pluginCommand,
} from "./plugin_args.ts";
import { UsageError } from "./usage.ts";

export { UsageError };

export type LogLevel = "debug" | "info" | "warning" | "error";

/** What every command gets. */
export interface GlobalArgs {
  readonly logLevel: LogLevel;
  /** Results, and for `run` the log, as JSON lines. */
  readonly json: boolean;
  /** False for --no-color; NO_COLOR and pipes are output.ts's business. */
  readonly color: boolean;
}

export type Command =
  | {
    readonly command: "run";
    /** Undefined: ./vm.json, or the built-in default where there is none. */
    readonly manifest: string | undefined;
    /** Overrides `boot.script`. */
    readonly script: string | undefined;
    /** What to trace to stderr. */
    readonly trace: readonly TraceKind[];
    /** Reload plugins whose files change. */
    readonly watch: boolean;
    readonly walls: WallOptions;
  }
  | { readonly command: "init"; readonly dir: string; readonly force: boolean }
  | { readonly command: "check"; readonly manifest: string | undefined }
  /** The `deno run` command with the least flags. */
  | { readonly command: "permissions"; readonly manifest: string | undefined }
  | { readonly command: "doctor" }
  /** A section of the virtio specification that a diagnosis cites. */
  | { readonly command: "explain"; readonly section: string | undefined }
  | { readonly command: "schema" }
  | PluginCommand
  /** Undefined: the overview. */
  | { readonly command: "help"; readonly topic: string | undefined }
  | { readonly command: "version" };

export type CliArgs = GlobalArgs & Command;

/** The arguments of one command. */
export type ArgsOf<Name extends Command["command"]> =
  & GlobalArgs
  & Extract<Command, { readonly command: Name }>;

const SANDBOX_LEVELS = ["off", "deno", "strict"] as const;
const LOG_LEVELS = ["debug", "info", "warning", "error"] as const;
const FLAGS = ["help", "version", "json", "color", "force", "watch"];
const VALUES = [
  "log-level",
  "script",
  "trace",
  "options",
  "permissions",
  "socket",
  "sandbox",
  "user",
  "cgroup",
];
const GLOBAL = ["help", "version", "json", "no-color", "log-level"];

interface ParsedFlags extends Readonly<Record<string, unknown>> {
  readonly _: readonly string[];
}

/** Parses `Deno.args`. Without a command, `run` is meant. */
export function parseCliArgs(argv: readonly string[]): CliArgs {
  const flags = parseFlags(argv);
  const global: GlobalArgs = {
    logLevel: logLevel(flags["log-level"]),
    json: flags.json === true,
    color: flags.color === true,
  };
  const asksHelp = flags.help === true || flags._[0] === "help";
  if (asksHelp) return { ...global, command: "help", topic: topicOf(flags._) };
  if (flags.version === true) return { ...global, command: "version" };
  const { name, operands } = splitCommand(flags._);
  const operand = onlyOperand(name, operands);
  checkOptions(name, flags);
  return { ...global, ...commandOf(name, operand, flags) };
}

function commandOf(
  name: string,
  operand: string | undefined,
  flags: ParsedFlags,
): Command {
  if (isPluginCommand(name)) return pluginCommand(name, operand, flags);
  switch (name) {
    case "run":
      return {
        command: name,
        manifest: operand,
        script: flags.script as string | undefined,
        trace: traceKinds(flags.trace as string | undefined),
        watch: flags.watch === true,
        walls: wallOptions(flags as Partial<Record<string, string>>),
      };
    case "explain":
      return { command: name, section: operand };
    case "check":
    case "permissions":
      return { command: name, manifest: operand };
    case "init":
      return {
        command: name,
        dir: operand ?? ".",
        force: flags.force === true,
      };
    default:
      return { command: name as "doctor" | "schema" };
  }
}

function isPluginCommand(name: string): name is PluginCommand["command"] {
  return Object.hasOwn(PLUGIN_COMMANDS, name);
}

function parseFlags(argv: readonly string[]): ParsedFlags {
  // The package carries no types.
  const parse: (args: string[], options: unknown) => ParsedFlags = parseArgs;
  for (const arg of argv) {
    if (arg === "--") break;
    // The parser would take any value but "false" for true.
    const flag = /^(--(?:no-)?([a-z]+))=/.exec(arg);
    if (flag !== null && FLAGS.includes(flag[2]!)) {
      throw new UsageError(`${flag[1]} takes no value; write it alone`);
    }
  }
  const flags = parse([...argv], {
    boolean: FLAGS,
    string: [...VALUES, "_"],
    negatable: ["color"],
    default: { color: true },
    alias: { h: "help", V: "version" },
    unknown: (arg: string, key?: string) => {
      if (key !== undefined) throw unknownOption(arg);
    },
  });
  for (const name of VALUES) {
    if (flags[name] === "") {
      throw new UsageError(`--${name} needs a value; see paddock --help`);
    }
  }
  return flags;
}

function unknownOption(arg: string): UsageError {
  const name = arg.replace(/=.*$/s, "");
  const meant = nearest(
    name.replace(/^-+/, ""),
    [...GLOBAL, ...allOptions()],
  );
  const remedy = meant === undefined
    ? "see paddock --help"
    : `did you mean --${meant}?`;
  return new UsageError(`Unknown option ${quote(name)}; ${remedy}`);
}

function logLevel(value: unknown): LogLevel {
  if (value === undefined) return "info";
  const level = LOG_LEVELS.find((level) => level === value);
  if (level !== undefined) return level;
  throw new UsageError(
    `--log-level must be ${LOG_LEVELS.join(", ")}, not ${quote(value)}`,
  );
}

function wallOptions(
  { sandbox, user, cgroup }: Partial<Record<string, string>>,
): WallOptions {
  const level = sandboxLevel(sandbox);
  for (const [name, value] of Object.entries({ user, cgroup })) {
    if (value === undefined || level === "strict") continue;
    throw new UsageError(
      `--${name} needs --sandbox=strict, not ${level}; remove one of them`,
    );
  }
  return {
    sandbox: level,
    ...user === undefined ? {} : { user },
    ...cgroup === undefined ? {} : { cgroup },
  };
}

function sandboxLevel(value = "strict"): SandboxLevel {
  const level = SANDBOX_LEVELS.find((level) => level === value);
  if (level !== undefined) return level;
  throw new UsageError(
    `--sandbox must be ${SANDBOX_LEVELS.join(", ")}, not ${quote(value)}`,
  );
}

function traceKinds(value: string | undefined): TraceKind[] {
  const words = value?.split(",") ?? [];
  return words.map((word) => {
    const kind = TRACE_KINDS.find((kind) => kind === word);
    if (kind !== undefined) return kind;
    throw new UsageError(
      `--trace takes ${TRACE_KINDS.join(", ")}, separated by commas, not ${
        quote(word)
      }`,
    );
  });
}

function onlyOperand(
  name: string,
  operands: readonly string[],
): string | undefined {
  const { operand, operandRequired } = COMMANDS[name]!;
  const extra = operands[operand === undefined ? 0 : 1];
  if (extra !== undefined) {
    const takes = operand === undefined ? "no operand" : `one ${operand}`;
    throw new UsageError(`${name} takes ${takes}; remove ${quote(extra)}`);
  }
  if (operands[0] === "") {
    throw new UsageError(`${name} was given an empty name; name a ${operand}`);
  }
  if (operands[0] === undefined && operandRequired) {
    throw new UsageError(
      `${name} needs a ${operand}; see paddock help ${name}`,
    );
  }
  return operands[0];
}

/** Options of another command are refused, not ignored. */
function checkOptions(name: string, flags: ParsedFlags): void {
  const own = COMMANDS[name]!.options;
  for (const option of new Set(allOptions())) {
    const given = flags[option] !== undefined && flags[option] !== false;
    if (!given || own.includes(option)) continue;
    const owners = Object.keys(COMMANDS).filter((owner) =>
      COMMANDS[owner]!.options.includes(option)
    );
    throw new UsageError(
      `--${option} belongs to ${
        owners.join(" and ")
      }, not to ${name}; remove it`,
    );
  }
}
