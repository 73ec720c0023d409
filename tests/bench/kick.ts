// From a kick to the used ring and what a cold register costs, both as the guest sees them.
import { HELLO, inFolder, noKvm, output, paddockCommand } from "./paddock.ts";
import { inTurns, median, type Row, type Section } from "./report.ts";

const ROUNDS = 5;
const SAMPLES = 1000;
/** Ticks of the TSC, about a millisecond: long enough for the device's thread to fall asleep. */
const PAUSE = 3_000_000;
const STATUS = 0xd000_0070;
const INTERRUPT_STATUS = 0xd000_0060;
const TITLE = "kick: guest → queue worker → used ring; registers";

type Path = "exit" | "ioeventfd";

export async function measureKicks(): Promise<Section> {
  const skipped = await noKvm();
  if (skipped !== undefined) return { title: TITLE, rows: [], skipped };
  return await inFolder(async (folder) => {
    const guest = (path: Path, bench: string) => () =>
      sample(`${folder}/${path}.json`, path, bench);
    const samples = await inTurns(ROUNDS, {
      exit: guest("exit", `kick:${SAMPLES}`),
      ioeventfd: guest("ioeventfd", `kick:${SAMPLES}`),
      exitAsleep: guest("exit", `kick:${SAMPLES},${PAUSE}`),
      ioeventfdAsleep: guest("ioeventfd", `kick:${SAMPLES},${PAUSE}`),
      cold: guest("exit", `mail:${SAMPLES},${STATUS}`),
      hot: guest("exit", `mail:${SAMPLES},${INTERRUPT_STATUS}`),
    });
    const row = (
      name: string,
      value: readonly number[],
      reference: readonly number[] | null,
    ): Row => ({
      name,
      unit: "µs",
      value: median(value),
      reference: reference && median(reference),
      goal: null,
    });
    return {
      title: TITLE,
      rows: [
        row("exit, one after the other", samples.exit, null),
        row("ioeventfd / exit", samples.ioeventfd, samples.exit),
        row("exit, device asleep", samples.exitAsleep, samples.exit),
        row(
          "ioeventfd / exit, asleep",
          samples.ioeventfdAsleep,
          samples.exitAsleep,
        ),
        row("Status (mailbox) / InterruptStatus", samples.cold, samples.hot),
      ],
      notes: [
        `one byte from rng, ${SAMPLES} times; median of the guest's medians of ${ROUNDS} runs`,
        "in turns; the device interrupts, but the guest polls the used ring",
      ],
    };
  });
}

/** Microseconds. */
async function sample(
  manifest: string,
  kick: Path,
  bench: string,
): Promise<number> {
  const vm = {
    memory: "32M",
    boot: { kernel: HELLO, cmdline: `bench=${bench}` },
    devices: [{ use: "rng", virtio: { kick } }],
  };
  await Deno.writeTextFile(manifest, JSON.stringify(vm));
  const text = await output(paddockCommand(manifest));
  const ns = /median ([0-9]+) ns/.exec(text)?.[1];
  if (ns === undefined) throw new Error(`The guest timed nothing: ${text}`);
  return Number(ns) / 1e3;
}
