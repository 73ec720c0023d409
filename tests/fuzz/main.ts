// `deno task fuzz [--cases N] [--seed S] [--level a|b|both] [--case I] [-v]`: hostile guests from a seeded generator.

import { parseArgs } from "@std/cli/parse-args";
import { fuzz, type FuzzOptions } from "./fuzz.ts";
import { levelA, levelB } from "./levels.ts";

const USAGE = `deno task fuzz [OPTIONS]

  --cases N       cases of each level (10000)
  --seed S        whole number; a case follows from the seed and its index (random)
  --level LEVEL   a: rings and queue loop beside a model; b: whole devices; both (both)
  --case I        only the case with this index
  -v              print the steps of each case
`;

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main(args: readonly string[]): Promise<number> {
  const { level, from, to, ...rest } = readArgs(args);
  const wrong = [rest.seed, from, to].some((number) =>
    !Number.isSafeInteger(number)
  );
  if (wrong || !["a", "b", "both"].includes(level) || rest.help) {
    print(USAGE);
    return rest.help ? 0 : 2;
  }
  const options: FuzzOptions = { ...rest, from, to, print };
  let findings = 0;
  if (level !== "b") findings += await fuzz(levelA(), options);
  if (level !== "a") {
    const devices = levelB();
    findings += await fuzz(devices, options);
    await devices.close();
  }
  return findings === 0 ? 0 : 1;
}

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

function readArgs(args: readonly string[]) {
  const given = parseArgs(args.filter((arg) => arg !== "--"), {
    string: ["cases", "seed", "level", "case"],
    boolean: ["v", "help"],
    default: { cases: "10000", level: "both" },
  });
  const random = crypto.getRandomValues(new Uint32Array(1))[0]!;
  const only = given.case === undefined ? null : Number(given.case);
  return {
    seed: given.seed === undefined ? random : Number(given.seed),
    level: String(given.level),
    from: only ?? 0,
    to: only === null ? Number(given.cases) : only + 1,
    verbose: given.v === true,
    help: given.help === true,
  };
}
