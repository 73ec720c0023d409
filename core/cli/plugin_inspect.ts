// Thread: main
// `paddock plugin inspect`: what a device declares, for people or as JSON.
import type { ModuleDeclaration } from "../device/module_declaration.ts";
import type { Registry } from "../manifest/built_in.ts";
import type { OptionSchema } from "../manifest/options.ts";
import { formatSize } from "../manifest/size.ts";
import { oneLine } from "../manifest/text.ts";
import { placeFields } from "../virtio/config_layout.ts";
import { deviceTypeName } from "../virtio/device_types.ts";
import type { ArgsOf } from "./args.ts";
import { printLine } from "./output.ts";
import {
  asksOf,
  declarationOf,
  findModule,
  type FoundModule,
} from "./plugin_module.ts";

/** One line of a part: its words, which stand below one another. */
type Row = readonly string[];

export async function pluginInspect(
  args: ArgsOf<"plugin inspect">,
  registry: Registry,
): Promise<number> {
  const found = findModule(args.module, registry);
  const declaration = await declarationOf(found);
  if (args.json) {
    printLine(JSON.stringify(asData(found, declaration), null, 2));
    return 0;
  }
  const built = found.builtIn === undefined ? "" : ", a built-in device";
  printLine(`${found.name}${built}`);
  for (const [part, rows] of parts(found, declaration)) printPart(part, rows);
  return 0;
}

/** The declaration with where it comes from, and what it comes to ask for. */
export function asData(
  found: FoundModule,
  declaration: ModuleDeclaration,
): Record<string, unknown> {
  const { name, module } = found;
  return { name, module, ...declaration, asks: asksOf(found, declaration) };
}

function parts(
  found: FoundModule,
  declaration: ModuleDeclaration,
): [string, Row[]][] {
  const { id, features, queues, config, options } = declaration;
  const asks = asksOf(found, declaration);
  return [
    ["module", [[oneLine(found.module)]]],
    ["id", [[`${id}, ${deviceTypeName(id)}`]]],
    ["features", pairs(features, (bit) => [`bit ${bit}`])],
    ["queues", pairs(queues, (size) => [`up to ${size} descriptors`])],
    ["config", placeFields(config).map(fieldRow)],
    ["options", pairs(options, optionRow)],
    ["permissions", asks.length === 0 ? [] : [[asks.join(", ")]]],
  ];
}

function pairs<Value>(
  record: Readonly<Record<string, Value>>,
  row: (value: Value) => Row,
): Row[] {
  return Object.entries(record).map(([name, value]) => [
    oneLine(name),
    ...row(value),
  ]);
}

function fieldRow(
  { name, offset, size, isBytes, writable }: ReturnType<
    typeof placeFields
  >[number],
): Row {
  const type = isBytes ? `${size} bytes` : `u${8 * size}`;
  const access = writable ? "writable" : "";
  return [oneLine(name), `at ${offset}`, type, access];
}

function optionRow(option: OptionSchema): Row {
  const presence = option.default !== undefined
    ? `default ${oneLine(JSON.stringify(option.default))}`
    : option.optional
    ? "optional"
    : "required";
  return [typeOf(option), presence, oneLine(option.description)];
}

function typeOf(option: OptionSchema): string {
  switch (option.type) {
    case "string":
      if (option.enum !== undefined) return oneLine(option.enum.join(" | "));
      return option.pattern === undefined
        ? "string"
        : `string like ${oneLine(option.pattern)}`;
    case "integer":
      return `${option.min} to ${option.max}`;
    case "size":
      return `${formatSize(option.min)} to ${formatSize(option.max)}`;
    default:
      return option.type;
  }
}

/** The part's name beside its first line. */
function printPart(part: string, rows: readonly Row[]): void {
  const lines = rows.length === 0 ? ["none"] : alignColumns(rows);
  for (const [at, line] of lines.entries()) {
    printLine(`  ${(at === 0 ? part : "").padEnd(11)}  ${line}`);
  }
}

/** Lines whose words stand below one another, two spaces apart; the last word of a line may be of any length. */
export function alignColumns(rows: readonly Row[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.slice(0, -1).forEach((word, at) => {
      widths[at] = Math.max(widths[at] ?? 0, word.length);
    });
  }
  return rows.map((row) =>
    row.map((word, at) => word.padEnd(widths[at] ?? 0)).join("  ").trimEnd()
  );
}
