// What an MMIO exit costs: the hello guest's loop of writes in Paddock and in the least VMM in C.
import {
  compile,
  HELLO,
  inFolder,
  noCompiler,
  noKvm,
  output,
  paddockCommand,
} from "./paddock.ts";
import { inTurns, median, type Row, type Section } from "./report.ts";

/** Enough for the compilers of V8 to have come and gone. */
const WRITES = 50_000;
const ROUNDS = 5;
const TITLE = "exit: an MMIO write and back, against a VMM of 150 lines of C";
interface Loop {
  readonly name: string;
  readonly mode: "mmio" | "mmio3";
  readonly address: number;
  readonly goal: number | null;
}

/** InterruptACK is served like a store in both; QueueNotify has Paddock wake the device as well. */
const LOOPS: readonly Loop[] = [
  {
    name: "register, user mode",
    mode: "mmio3",
    address: 0xd000_0064,
    goal: 1.1,
  },
  {
    name: "register, kernel mode",
    mode: "mmio",
    address: 0xd000_0064,
    goal: 1.1,
  },
  {
    name: "QueueNotify, kernel mode",
    mode: "mmio",
    address: 0xd000_0050,
    goal: null,
  },
];

interface Sample {
  readonly ticks: number;
  /** By the VMM's clock; Paddock has none for this. */
  readonly ns: number;
}

export async function measureExits(): Promise<Section> {
  const skipped = await noKvm() ?? await noCompiler();
  if (skipped !== undefined) return { title: TITLE, rows: [], skipped };
  return await inFolder(async (folder) => {
    const loop = await compile("exit_loop", folder);
    const rows: Row[] = [];
    for (const each of LOOPS) rows.push(await compare(each, loop, folder));
    const notes = [
      `${WRITES} writes timed by the guest's TSC, median of ${ROUNDS} runs in turns`,
      "in-kernel interrupt controller on both sides",
    ];
    return { title: TITLE, rows, notes };
  });
}

async function compare(
  { name, mode, address, goal }: Loop,
  loop: string,
  folder: string,
): Promise<Row> {
  const bench = `bench=${mode}:${WRITES},${address}`;
  const manifest = `${folder}/vm.json`;
  const boot = { kernel: HELLO, cmdline: bench };
  const devices = [{ use: "rng" }];
  await Deno.writeTextFile(
    manifest,
    JSON.stringify({ memory: "32M", boot, devices }),
  );
  const samples = await inTurns(ROUNDS, {
    paddock: () => sample(paddockCommand(manifest)),
    c: () => sample(new Deno.Command(loop, { args: ["-i", HELLO, bench] })),
  });
  const ticks = (of: readonly Sample[]) => median(of.map(({ ticks }) => ticks));
  const tick = median(samples.c.map(({ ns, ticks }) => ns / ticks));
  return {
    name,
    unit: "µs",
    value: ticks(samples.paddock) * tick / WRITES / 1e3,
    reference: ticks(samples.c) * tick / WRITES / 1e3,
    goal,
  };
}

async function sample(command: Deno.Command): Promise<Sample> {
  const text = await output(command);
  const ticks = /in ([0-9]+) TSC ticks/.exec(text)?.[1];
  if (ticks === undefined) throw new Error(`The guest timed nothing: ${text}`);
  return { ticks: +ticks, ns: +(/"ns":([0-9]+)/.exec(text)?.[1] ?? NaN) };
}
