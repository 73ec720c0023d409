import { assertEquals } from "@std/assert";
import { fuzz } from "./fuzz.ts";
import { shrink } from "./level.ts";
import { levelA, levelB } from "./levels.ts";
import { Random } from "./random.ts";

/** The same in each run, so that a finding is of the change that it came with; `deno task fuzz` looks for others. */
const SEEDS = [
  [20_261_120, 19_000, 1000],
  [3_735_928_559, 1900, 100],
] as const;

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

for (const [seed, ringCases, deviceCases] of SEEDS) {
  const range = (to: number) => ({ seed, from: 0, to, verbose: false, print });

  Deno.test(`Rings and queue loop survive ${ringCases} drivers of seed ${seed}`, async () => {
    assertEquals(await fuzz(levelA(), range(ringCases)), 0);
  });

  Deno.test(`Built-in devices survive ${deviceCases} guests of seed ${seed}`, async () => {
    const level = levelB();
    const findings = await fuzz(level, range(deviceCases));
    await level.close();
    assertEquals(findings, 0);
  });
}

Deno.test("A case is a function of the seed and its index", () => {
  for (const level of [levelA(), levelB()]) {
    const shown = (seed: number, index: number) => {
      const { steps } = level.generate(new Random(seed, index));
      return JSON.stringify(steps);
    };
    assertEquals(shown(7, 3), shown(7, 3));
    assertEquals(shown(7, 3) === shown(7, 4), false);
    assertEquals(shown(7, 3) === shown(8, 3), false);
  }
});

Deno.test("A failing case is cut down to the steps that make it fail", async () => {
  const level = {
    name: "a" as const,
    generate: () => ({ steps: [0] }),
    withSteps: (_: unknown, steps: readonly number[]) => ({ steps }),
    run: ({ steps }: { readonly steps: readonly number[] }) =>
      Promise.resolve(
        steps.includes(3) && steps.includes(11) ? "both: are there" : null,
      ),
    show: String,
    close: () => Promise.resolve(),
  };
  const steps = Array.from({ length: 20 }, (_, i) => i);
  const small = await shrink<number, { steps: readonly number[] }>(
    level,
    { steps },
    "both: are there",
  );
  assertEquals(small.steps, [3, 11]);
});
