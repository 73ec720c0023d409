// Thread: main
// `paddock explain`: what the section of the virtio specification that a diagnosis cites asks for.
import { type Clause, CLAUSES, findClause } from "../virtio/clauses.ts";
import { type ArgsOf, UsageError } from "./args.ts";
import { printLine } from "./output.ts";

const WIDTH = 80;

export function explain(args: ArgsOf<"explain">): Promise<number> {
  const clauses = args.section === undefined ? CLAUSES : [known(args.section)];
  if (args.json) printLine(JSON.stringify(clauses, null, 2));
  else if (args.section === undefined) clauses.forEach(printTitle);
  else clauses.forEach(printClause);
  return Promise.resolve(0);
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
  let line = "";
  for (const word of clause.asks.split(" ")) {
    if (line.length + 1 + word.length > WIDTH) {
      printLine(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  printLine(line);
}
