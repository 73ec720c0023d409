// Thread: main
// `paddock --help`, a command's own help, and `paddock --version`.
import config from "../../deno.json" with { type: "json" };
import type { ArgsOf } from "./args.ts";
import { commandsIn } from "./commands.ts";
import {
  COMMAND_HELP,
  EXAMPLES,
  KEYS,
  type OptionHelp,
  OPTIONS,
  STATUSES,
  WORDS,
} from "./help_pages.ts";
import { printLine, WIDTH, wrap } from "./output.ts";

/** The version that deno.json gives. */
export const VERSION: string = config.version;

/** Where the second column begins. */
const COLUMN = 32;

/** The overview; without a command it is what `paddock --help` prints. Pages fit 80 columns. */
export function helpPage(topic?: string): string {
  const parts = topic === undefined
    ? overview()
    : commandsIn(topic).length > 1
    ? familyPage(topic)
    : commandPage(commandsIn(topic)[0]!);
  return parts.map((lines) => lines.join("\n")).join("\n\n");
}

function overview(): string[][] {
  return [
    [
      `Paddock ${VERSION}: virtual machines on KVM, with devices in TypeScript`,
    ],
    ["Usage", ...usageLines(Object.keys(COMMAND_HELP))],
    wrap(WORDS, WIDTH - 2).map((line) => `  ${line}`),
    ["Options", ...Object.values(OPTIONS).flatMap(optionOfAll)],
    ["In a machine", ...KEYS.flatMap(([key, does]) => row(key, does))],
    ["Examples", ...EXAMPLES.flatMap(([line, does]) => row(line, does))],
    ["Exit status", ...statusLines()],
  ];
}

/** Of commands of two words that have the first in common. */
function familyPage(family: string): string[][] {
  return [
    [`Usage: paddock ${family} <command>`],
    ["Commands", ...usageLines(commandsIn(family))],
    [`paddock help ${family} <command> says more of each.`],
  ];
}

function commandPage(command: string): string[][] {
  const { usage, summary, more = [], options, examples } =
    COMMAND_HELP[command as keyof typeof COMMAND_HELP];
  const isRun = command === "run";
  const own = options.map((name) => OPTIONS[name]!);
  return [
    [
      `Usage: paddock ${usage}${options.length > 0 ? " [options]" : ""}`,
    ],
    wrap(`${summary}.`, WIDTH),
    ...more.map((text) => wrap(text, WIDTH)),
    ...own.length === 0 ? [] : [
      ["Options", ...own.flatMap(({ form, text }) => row(indent(form), text))],
    ],
    ...isRun
      ? [["In the machine", ...KEYS.flatMap(([key, does]) => row(key, does))]]
      : [],
    [
      examples.length > 1 ? "Examples" : "Example",
      ...examples.map((line) => `  ${line}`),
    ],
    ...isRun ? [["Exit status", ...statusLines()]] : [],
  ];
}

function usageLines(commands: readonly string[]): string[] {
  return commands.flatMap((command) => {
    const { usage, summary } =
      COMMAND_HELP[command as keyof typeof COMMAND_HELP];
    return row(`paddock ${usage}`, summary);
  });
}

function optionOfAll({ form, owners, text }: OptionHelp): string[] {
  return row(indent(form), owners === undefined ? text : `${owners}: ${text}`);
}

/** Short options stand before the long ones. */
function indent(form: string): string {
  return form.startsWith("--") ? `    ${form}` : form;
}

function statusLines(): string[] {
  return STATUSES.map(([status, means]) =>
    `  ${`${status}`.padStart(3)}  ${means}`
  );
}

/** Two columns; the second begins on a line of its own where the first is long. */
function row(first: string, second: string): string[] {
  const lines = second === "" ? [] : wrap(second, WIDTH - COLUMN);
  const head = `  ${first}`;
  const rest = lines.map((line) => " ".repeat(COLUMN) + line);
  if (lines.length === 0 || head.length > COLUMN - 2) return [head, ...rest];
  return [head.padEnd(COLUMN) + lines[0], ...rest.slice(1)];
}

/** Prints the overview, or a command's page. */
export function help(
  { topic }: Pick<ArgsOf<"help">, "topic">,
): Promise<number> {
  printLine(helpPage(topic));
  return Promise.resolve(0);
}

/** Prints the version. */
export function version(): Promise<number> {
  printLine(`paddock ${VERSION}`);
  return Promise.resolve(0);
}
