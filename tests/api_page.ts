// plugins/API.md, made of the doc comments of what core/plugin.ts exports: `deno run -A tests/api_page.ts [--check]`.

import { printNote } from "../core/cli/output.ts";

const ROOT = new URL("../", import.meta.url);
const PAGE = new URL("plugins/API.md", ROOT);
/** What to do when the page is not what the comments say. */
export const REMEDY = "run deno run -A tests/api_page.ts";
const DOOR = "core/plugin.ts";
/** Its members are the parts of a declaration. */
const DEFINITION = "DeviceDefinition";
/** What exports of the door are made of, and it does not export. */
const HIDDEN: readonly (readonly [string, string])[] = [
  ["Cursor", "core/virtio/chain.ts"],
  ["Described", "core/manifest/options.ts"],
];

/** Headings of the page; each part of `DeviceDefinition` stands with the types that it is made of. */
const GROUPS: readonly (readonly [string, readonly string[]])[] = [
  ["The declaration", [
    "defineDevice",
    DEFINITION,
    ...["id", "features", "featureNeeds", "queues"],
    ...["config", "ConfigLayout", "ConfigField", "FieldType"],
    ...["ConfigValues", "FieldValue"],
    ...["options", "OptionsSchema", "OptionSchema", "Described"],
    "OptionValues",
    ...["permissions", "PermissionAsks", "PermissionName"],
    "create",
  ]],
  ["The device", [
    "VirtioDevice",
    ...["QueueHandler", "ChainHandler", "ServedQueue", "BatchQueue"],
    "PulledQueue",
  ]],
  ["Its context", ["DeviceContext", "DevicePort"]],
  ["A request", ["DescriptorChain", "ChainReader", "ChainWriter", "Cursor"]],
  ["Errors", ["DriverError"]],
];

/** What the page takes of `deno doc --json`. */
interface Documented {
  readonly name: string;
  readonly jsDoc?: {
    readonly doc?: string;
    readonly tags?: readonly { readonly kind: string }[];
  };
  readonly location: {
    readonly filename: string;
    /** Both from 0. */
    readonly line: number;
    readonly col: number;
  };
}

interface Member extends Documented {
  readonly accessibility?: string | null;
  readonly tsType?: { readonly repr?: string };
  readonly hasBody?: boolean;
  readonly functionDef?: { readonly hasBody?: boolean };
}

interface Declaration extends Documented {
  readonly kind: string;
  readonly def: {
    readonly hasBody?: boolean;
    readonly extends?: string;
    readonly constructors?: readonly Member[];
    readonly properties?: readonly Member[];
    readonly methods?: readonly Member[];
  };
}

interface DocJson {
  readonly nodes: Readonly<
    Record<string, {
      readonly module_doc?: { readonly doc?: string };
      readonly symbols: readonly {
        readonly name: string;
        readonly declarations: readonly Declaration[];
      }[];
    }>
  >;
}

/** The whole page as text. */
export async function apiPage(): Promise<string> {
  const { intro, symbols } = await readDoc(DOOR);
  for (const [name, file] of HIDDEN) {
    const hidden = await readDoc(file, "--private");
    symbols.set(name, hidden.symbols.get(name)!);
  }
  const sections = new Map(
    [...symbols].map(([name, symbol]) => [name, symbolSection(symbol)]),
  );
  for (const member of membersOf(symbols.get(DEFINITION)!)) {
    sections.set(member.name, memberSection(member));
  }
  const text = [
    `<!-- Made of the doc comments of ${DOOR} by tests/api_page.ts; edit them, not this. -->`,
    "# The plugin API",
    prose(intro),
    "`paddock explain plugin.<part>` prints one part of this page.",
    GROUPS.map(([title, names]) =>
      `- ${title}: ${names.map(linkTo).join(", ")}`
    ).join("\n"),
    ...GROUPS.flatMap(([title, names]) => [
      `## ${title}`,
      ...names.map((name) => `### ${name}\n\n${sections.get(name)}`),
    ]),
  ];
  return await format(text.join("\n\n"));
}

/** The names that the page has a heading for. */
export function pageParts(): string[] {
  return GROUPS.flatMap(([, names]) => names);
}

async function readDoc(file: string, ...flags: string[]): Promise<
  { intro: string; symbols: Map<string, Declaration> }
> {
  const json: DocJson = JSON.parse(await deno("doc", "--json", ...flags, file));
  const { module_doc, symbols } = Object.values(json.nodes)[0]!;
  const declared = symbols.map(({ name, declarations }) =>
    [name, { ...declarations[0]!, name }] as const
  );
  return { intro: module_doc?.doc ?? "", symbols: new Map(declared) };
}

/** Runs a subcommand of Deno in the repository's folder, and returns what it prints. */
async function deno(...args: readonly string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

function symbolSection(symbol: Declaration): string {
  const { name, kind, def, jsDoc } = symbol;
  const doc = prose(jsDoc?.doc);
  // Its members have parts of their own.
  if (name === DEFINITION) return doc;
  const code = kind === "class"
    ? classText(symbol)
    : sourceText(symbol, def.hasBody === true);
  return codeBlock(code) + doc;
}

/** A part of the declaration, by the form that any device's has. */
function memberSection(member: Member): string {
  const source = sourceText(member, false)
    .replace(/\b(DeviceContext|VirtioDevice|PermissionAsks)<[^<>]*>/g, "$1")
    .replace(/\b(Features|Queues)\b/, "Readonly<Record<string, number>>")
    .replace(/\bConfig\b/, "ConfigLayout")
    .replace(/\bOptions\b/, "OptionsSchema");
  // As one line, where the page's formatter finds no member of nothing.
  return codeBlock(
    source.replace(/\s+/g, " ").replace(/: \| /, ": ")
      .replace(/\( (.*), \)/, "($1)").replace(/(?<=<) | (?=>)/g, ""),
  ) + prose(member.jsDoc?.doc);
}

const codeBlock = (code: string) => `\`\`\`ts\n${code}\n\`\`\`\n\n`;

function prose(doc = ""): string {
  return doc.trim().replace(
    /\{@linkcode (\w+)\}/g,
    (_, name) => linkTo(name),
  );
}

function linkTo(name: string): string {
  return `[\`${name}\`](#${name.toLowerCase()})`;
}

/** Members in the order of the source, without what is not for plugins. */
function membersOf({ def, name }: Declaration): Member[] {
  const { constructors = [], properties = [], methods = [] } = def;
  const made = def.extends === "Error" ? constructors : [];
  return [...made, ...properties, ...methods].filter(
    ({ accessibility, jsDoc, name: member }) =>
      !(accessibility ?? "public").startsWith("pro") &&
      !jsDoc?.tags?.some(({ kind }) => kind === "ignore") &&
      // An error's name is its class's.
      !(def.extends === "Error" && member === "name" && name !== member),
  ).sort((a, b) => a.location.line - b.location.line);
}

/** A class as a declaration: its members without their code. */
function classText(declaration: Declaration): string {
  const { name, def } = declaration;
  const heritage = def.extends === undefined ? "" : ` extends ${def.extends}`;
  const members = membersOf(declaration).map((member) => {
    const doc = member.jsDoc?.doc?.trim().replaceAll("\n", "\n * ");
    const comment = doc === undefined ? "" : `/** ${doc} */\n`;
    const hasBody = member.hasBody ?? member.functionDef?.hasBody ?? false;
    // A field's first value says nothing but its type.
    const text = sourceText(member, hasBody)
      .replace(/ = \w+$/, `: ${member.tsType?.repr}`);
    return comment + text;
  });
  return `class ${name}${heritage} {\n${members.join("\n")}\n}`;
}

/** The declaration's own text: up to its end, or to a function's code. */
function sourceText({ location }: Documented, hasBody: boolean): string {
  const lines = Deno.readTextFileSync(new URL(location.filename)).split("\n");
  const [first = "", ...rest] = lines.slice(location.line);
  const text = [first.slice(location.col), ...rest].join("\n");
  return text.slice(0, endOf(text, hasBody)).replace(/^export /, "");
}

/** Where a declaration ends: before its code, before a semicolon, or behind the brace that closes it. */
function endOf(text: string, hasBody: boolean): number {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const rest = text.slice(at);
    const comment = /^(\/\*[^]*?\*\/|\/\/.*)/.exec(rest)?.[0];
    if (comment !== undefined) {
      at += comment.length - 1;
      continue;
    }
    if (depth === 0 && hasBody && rest.startsWith(" {\n")) return at;
    if ("([{".includes(text[at]!)) depth++;
    if (")]}".includes(text[at]!)) depth--;
    if (depth !== 0) continue;
    if (text[at] === ";") return at;
    if (rest.startsWith("}\n\n")) return at + 1;
  }
  return text.length;
}

async function format(markdown: string): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--quiet", "--ext=md", "-"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(markdown));
  await writer.close();
  const { success, stdout } = await child.output();
  if (!success) throw new Error("deno fmt cannot read the page");
  return new TextDecoder().decode(stdout);
}

if (import.meta.main) {
  const page = await apiPage();
  if (!Deno.args.includes("--check")) Deno.writeTextFileSync(PAGE, page);
  else if (Deno.readTextFileSync(PAGE) !== page) {
    printNote(`error: plugins/API.md is out of date; ${REMEDY}`);
    Deno.exit(1);
  }
}
