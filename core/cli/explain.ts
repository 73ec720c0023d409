// Thread: main
// `paddock explain`: what the section of the virtio specification, or the part of the plugin API, that a diagnosis
// cites asks for.
import { type Clause, CLAUSES, findClause } from "../virtio/clauses.ts";
import { type ArgsOf, UsageError } from "./args.ts";
import { printLine, WIDTH, wrap } from "./output.ts";
import { findPart, type PagePart, readPage } from "./plugin_page.ts";

/** What the name of a part of the plugin API begins with; alone, it means all of them. */
const PLUGIN = "plugin";
/** Where what is said of a part begins. */
const COLUMN = 25;

export function explain(args: ArgsOf<"explain">): Promise<number> {
  return Promise.try(() => {
    const { section } = args;
    const [first, ...rest] = section?.split(".") ?? [];
    if (first === PLUGIN) explainPlugin(rest.join("."), args.json);
    else explainSection(section, args.json);
    return 0;
  });
}

function explainSection(section: string | undefined, json: boolean): void {
  const clauses = section === undefined ? CLAUSES : [known(section)];
  if (json) printLine(JSON.stringify(clauses, null, 2));
  else if (section === undefined) {
    clauses.forEach(printTitle);
    readPage().forEach(printPartTitle);
  } else clauses.forEach(printClause);
}

function explainPlugin(name: string, json: boolean): void {
  const parts = name === "" ? readPage() : [findPart(name)];
  if (json) printLine(JSON.stringify(parts, null, 2));
  else if (name === "") parts.forEach(printPartTitle);
  else parts.forEach(({ name, text }) => printLine(`${name}\n\n${text}`));
}

/** With its first sentence. */
function printPartTitle({ name, text }: PagePart): void {
  const prose = text.split("\n\n").find((each) => !each.startsWith(" ")) ?? "";
  const [sentence = ""] = prose.replaceAll("\n", " ").split(/(?<=[.;:]) /);
  const [first = "", ...more] = wrap(
    sentence.replace(/[;:]$/, ""),
    WIDTH - COLUMN,
  );
  printLine(`${PLUGIN}.${name}`.padEnd(COLUMN) + first);
  for (const line of more) printLine(" ".repeat(COLUMN) + line);
}

function known(section: string): Clause {
  const clause = findClause(section.replace(/^§/, ""));
  if (clause !== null) return clause;
  throw new UsageError(
    `No diagnosis cites section ${section}; see paddock explain for those that are`,
  );
}

function printTitle({ section, title }: Clause): void {
  printLine(`§${section.padEnd(10)} ${title}`);
}

function printClause(clause: Clause): void {
  printLine(`virtio-v1.3 §${clause.section}, ${clause.title}`);
  wrap(clause.asks, WIDTH).forEach(printLine);
}
