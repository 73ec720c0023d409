// What the two levels of the fuzzer have in common: cases by seed and index, and cutting a failing one down.
import type { Random } from "./random.ts";

/** Runs and time for cutting one case down. */
const SHRINK_RUNS = 2000;
const SHRINK_MS = 10_000;

export interface Level<Step, Case extends { readonly steps: readonly Step[] }> {
  readonly name: "a" | "b";
  generate(random: Random): Case;
  /** The same case with other steps. */
  withSteps(original: Case, steps: readonly Step[]): Case;
  /** What is wrong, or null. It starts with a kind and a colon. */
  run(tried: Case): Promise<string | null>;
  show(step: Step): string;
  close(): Promise<void>;
}

const kindOf = (finding: string) => finding.split(":")[0]!;

/** Removes steps as long as a finding of the same kind stays. */
export async function shrink<
  Step,
  Case extends { readonly steps: readonly Step[] },
>(
  level: Level<Step, Case>,
  failing: Case,
  finding: string,
): Promise<Case> {
  let smallest = failing;
  let runs = 0;
  const deadline = performance.now() + SHRINK_MS;
  const isEnough = () => runs >= SHRINK_RUNS || performance.now() > deadline;
  for (
    let size = Math.ceil(failing.steps.length / 2);
    size >= 1;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  ) {
    for (let at = 0; at < smallest.steps.length && !isEnough();) {
      const steps = smallest.steps.toSpliced(at, size);
      const tried = level.withSteps(smallest, steps);
      const found = await level.run(tried);
      runs++;
      if (found !== null && kindOf(found) === kindOf(finding)) smallest = tried;
      else at += size;
    }
  }
  return smallest;
}
