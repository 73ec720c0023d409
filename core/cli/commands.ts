// Thread: main
// The commands: what each takes, and which one words mean.
import { nearest, quote } from "../manifest/text.ts";
import { PLUGIN_COMMANDS } from "./plugin_args.ts";
import { UsageError } from "./usage.ts";

/** What a command takes. */
interface Takes {
  /** What its one operand is. */
  readonly operand?: string;
  readonly operandRequired?: true;
  /** Its own options. */
  readonly options: readonly string[];
}

const TAKES = {
  run: {
    operand: "manifest",
    options: ["cgroup", "sandbox", "script", "trace", "user", "watch"],
  },
  init: { operand: "directory", options: ["force"] },
  check: { operand: "manifest", options: [] },
  permissions: { operand: "manifest", options: [] },
  doctor: { options: [] },
  schema: { options: [] },
  explain: { operand: "section", options: [] },
  ...PLUGIN_COMMANDS,
  help: { operand: "command", options: [] },
} as const satisfies Record<string, Takes>;

export type CommandName = keyof typeof TAKES;

export const COMMANDS: Readonly<Record<string, Takes>> = TAKES;
/** The first word of commands that have two. */
const FAMILY = "plugin";

/** The command that words begin with, and what comes after it. A first word that looks like a file is a manifest to run. */
export function splitCommand(
  words: readonly string[],
): { name: string; operands: readonly string[] } {
  const [first, ...rest] = words;
  if (first === undefined) return { name: "run", operands: [] };
  if (first === FAMILY) return splitFamily(first, rest);
  if (Object.hasOwn(COMMANDS, first)) return { name: first, operands: rest };
  if (/[./]/.test(first)) return { name: "run", operands: words };
  throw unknownCommand(first, "");
}

/** What help is asked about: a command, a family of them, or undefined for all. */
export function topicOf(words: readonly string[]): string | undefined {
  const named = words[0] === "help" ? words.slice(1) : words;
  if (named.length === 0) return undefined;
  if (named[0] === FAMILY && named.length === 1) return FAMILY;
  const { name, operands: [extra] } = splitCommand(named);
  if (words[0] === "help" && extra !== undefined) {
    throw new UsageError(`help takes one command; remove ${quote(extra)}`);
  }
  return name;
}

/** The command with this name, or those of a family. */
export function commandsIn(topic: string): CommandName[] {
  return (Object.keys(COMMANDS) as CommandName[]).filter((name) =>
    name === topic || name.startsWith(`${topic} `)
  );
}

/** The second word of a command that has two. */
function splitFamily(
  family: string,
  [second, ...operands]: readonly string[],
): { name: string; operands: readonly string[] } {
  const name = `${family} ${second}`;
  if (Object.hasOwn(COMMANDS, name)) return { name, operands };
  if (second !== undefined) throw unknownCommand(second, `${family} `);
  throw new UsageError(
    `${family} needs a command: ${wordsAfter(`${family} `).join(", ")}`,
  );
}

/** First words of all commands, or second ones of a family. */
function wordsAfter(family: string): string[] {
  const words = Object.keys(COMMANDS).filter((name) => name.startsWith(family))
    .map((name) => name.slice(family.length).split(" ")[0]!);
  return [...new Set(words)];
}

function unknownCommand(word: string, family: string): UsageError {
  const known = wordsAfter(family);
  const meant = nearest(word, known);
  const remedy = meant === undefined
    ? `the commands are ${known.join(", ")}`
    : `did you mean ${family}${meant}?`;
  return new UsageError(`Unknown command ${quote(family + word)}; ${remedy}`);
}

export function allOptions(): string[] {
  return Object.values(COMMANDS).flatMap(({ options }) => options);
}
