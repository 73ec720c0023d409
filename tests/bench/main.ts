// deno task bench [-- SECTION…]: measures Paddock against what it should be as good as.

import { parseArgs } from "@std/cli/parse-args";
import { measureExits } from "./exit.ts";
import { measureKicks } from "./kick.ts";
import { measureIsolation } from "./isolation.ts";
import { measureLab } from "./lab.ts";
import { measureMemory } from "./memory.ts";
import { print } from "./paddock.ts";
import { formatSection, type Section, toJson } from "./report.ts";
import { measureRings } from "./ring.ts";
import { measureStartup } from "./startup.ts";
import { measureWalls } from "./walls.ts";

const USAGE = `Usage: deno task bench [-- [--json] SECTION…]

Sections: exit, kick, ring, startup, memory, isolation, walls,
          lab; all of them if none is named.
Each compares within one run, in turns, by medians: run it where little else runs.`;

const SECTIONS: Readonly<Record<string, () => Promise<Section>>> = {
  exit: measureExits,
  kick: measureKicks,
  ring: measureRings,
  startup: measureStartup,
  memory: measureMemory,
  isolation: measureIsolation,
  walls: measureWalls,
  lab: measureLab,
};

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main(argv: readonly string[]): Promise<number> {
  const { _: words, ...flags } = parseArgs(argv.filter((arg) => arg !== "--"), {
    boolean: ["json", "help"],
    string: ["_"],
  });
  const names: string[] = words.length > 0 ? words : Object.keys(SECTIONS);
  const unknown = names.find((name) => !Object.hasOwn(SECTIONS, name));
  if (flags.help || unknown !== undefined) {
    print(USAGE);
    return flags.help ? 0 : 2;
  }
  const sections: Section[] = [];
  for (const name of names) {
    const section = await SECTIONS[name]!();
    sections.push(section);
    if (!flags.json) print(`${formatSection(section)}\n`);
  }
  if (flags.json) print(JSON.stringify(sections.map(toJson), null, 2));
  return 0;
}
