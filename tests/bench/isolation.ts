// What each wall costs: the VM in this process, in its own, in a closed one; a device in a worker or a process.
import { measureRequests } from "./isolation_block.ts";
import { inTurns, median as middle, type Row, type Section } from "./report.ts";
import { HELLO, inFolder, noKvm, output, paddockCommand } from "./paddock.ts";
import { prepare, toGuest } from "./startup.ts";
import { treeMemory } from "./tree_memory.ts";

const ROUNDS = 9;
const KICKS = 1000;
const LEVELS = ["off", "deno", "strict"] as const;
const TITLE =
  "isolation: sandbox off, deno, strict; devices in worker, process";

export async function measureIsolation(): Promise<Section> {
  const skipped = await noKvm();
  if (skipped !== undefined) return { title: TITLE, rows: [], skipped };
  return await inFolder(async (folder) => ({
    title: TITLE,
    rows: [
      ...await startRows(folder),
      ...await memoryRows(folder),
      ...await kickRows(folder),
      ...await blockRows(folder),
    ],
    notes: [
      "start: to the guest's first instruction; memory: PSS of all processes, less",
      `guest RAM; kick: the guest's median of ${KICKS}; block: 4 KiB reads by a driver`,
      "without KVM that polls, and kicks by doorbell or eventfd",
    ],
  }));
}

const row = (
  name: string,
  unit: string,
  value: number,
  reference: number | null,
): Row => ({ name, unit, value, reference, goal: null });

async function startRows(folder: string): Promise<Row[]> {
  const { manifest } = await prepare(folder);
  const samples = await inTurns(
    ROUNDS,
    Object.fromEntries(
      LEVELS.map((level) => [
        level,
        () => toGuest(paddockCommand(manifest, `--sandbox=${level}`)),
      ]),
    ),
  );
  const of = (level: string) =>
    middle(samples[level]!.map(({ first }) => first));
  return [
    row("start, sandbox deno / off", "ms", of("deno"), of("off")),
    row("start, sandbox strict / off", "ms", of("strict"), of("off")),
  ];
}

async function memoryRows(folder: string): Promise<Row[]> {
  const of = async (level: string, isolation: string) => {
    const manifest = `${folder}/memory.json`;
    await Deno.writeTextFile(
      manifest,
      JSON.stringify({
        memory: "32M",
        boot: { kernel: HELLO, cmdline: "exit=hang" },
        devices: [{ use: "console" }, { use: "rng", isolation }],
      }),
    );
    return await treeMemory(paddockCommand(manifest, `--sandbox=${level}`));
  };
  const off = await of("off", "worker");
  return [
    row("memory, strict / off", "MiB", await of("strict", "worker"), off),
    row(
      "memory, rng in a process / off",
      "MiB",
      await of("off", "process"),
      off,
    ),
  ];
}

async function kickRows(folder: string): Promise<Row[]> {
  const sample = (isolation: string) => async () => {
    const manifest = `${folder}/${isolation}.json`;
    const vm = {
      memory: "32M",
      boot: { kernel: HELLO, cmdline: `bench=kick:${KICKS}` },
      devices: [{ use: "rng", isolation, virtio: { kick: "ioeventfd" } }],
    };
    await Deno.writeTextFile(manifest, JSON.stringify(vm));
    const text = await output(paddockCommand(manifest));
    return Number(/median ([0-9]+) ns/.exec(text)?.[1]) / 1e3;
  };
  const { worker = [], process = [] } = await inTurns(5, {
    worker: sample("worker"),
    process: sample("process"),
  });
  return [
    row(
      "kick, rng in a process / worker",
      "µs",
      middle(process),
      middle(worker),
    ),
  ];
}

async function blockRows(folder: string): Promise<Row[]> {
  const rows: Row[] = [];
  for (const depth of [1, 32]) {
    const { worker, process } = await measureRequests(folder, depth);
    const name = `block 4 KiB, depth ${depth}, process / worker`;
    rows.push(row(name, "µs", process, worker));
  }
  return rows;
}
