// Runs cases of one level, and reports what they find.
import { type Level, shrink } from "./level.ts";
import { Random } from "./random.ts";
import type { Watch } from "./watch_worker.ts";

/** Findings after which a run ends: more of them seldom say more. */
const MAX_FINDINGS = 5;
/** No case takes so long: a device's budget is 5 s. */
const CASE_SECONDS = 60;

export interface FuzzOptions {
  readonly seed: number;
  /** Indices of the cases, from the first up to and without the last. */
  readonly from: number;
  readonly to: number;
  readonly verbose: boolean;
  readonly print: (line: string) => void;
}

/** Returns the number of findings. */
export async function fuzz<
  Step,
  Case extends { readonly steps: readonly Step[] },
>(level: Level<Step, Case>, options: FuzzOptions): Promise<number> {
  const { seed, from, to, verbose, print } = options;
  const replay = `--level ${level.name} --seed ${seed}`;
  const { progress, stop } = watch(replay);
  const started = performance.now();
  let findings = 0;
  let index = from;
  for (; index < to && findings < MAX_FINDINGS; index++) {
    Atomics.store(progress, 0, index);
    const tried = level.generate(new Random(seed, index));
    if (verbose) tried.steps.forEach((step) => print(level.show(step)));
    const finding = await level.run(tried);
    if (finding === null) continue;
    findings++;
    print(`${replay} --case ${index}: ${finding}`);
    const small = await shrink(level, tried, finding);
    small.steps.forEach((step) => print(`    ${level.show(step)}`));
  }
  stop();
  const seconds = (performance.now() - started) / 1000;
  const rate = Math.round((index - from) / seconds);
  const found = findings === 0 ? "no findings" : `${findings} findings`;
  print(`${replay}: ${index - from} cases, ${rate} a second, ${found}`);
  return findings;
}

function watch(replay: string): { progress: Int32Array; stop: () => void } {
  const progress = new SharedArrayBuffer(4);
  const worker = new Worker(new URL("./watch_worker.ts", import.meta.url), {
    type: "module",
  });
  const task = `deno task fuzz ${replay}`;
  worker.postMessage(
    { progress, seconds: CASE_SECONDS, what: task } satisfies Watch,
  );
  return {
    progress: new Int32Array(progress),
    stop: () => worker.terminate(),
  };
}
