// From process start to the guest's first instruction, and to its first byte on the host's stdout.
import {
  denoCommand,
  inFolder,
  noKvm,
  now,
  paddockCommand,
} from "./paddock.ts";
import { findQemu, type Qemu, qemuCommand } from "./qemu.ts";
import { inTurns, median, type Row, type Section } from "./report.ts";
import { firstInstruction, REPORT_SIZE, tinyGuest } from "./tiny_guest.ts";

const ROUNDS = 15;
const TITLE = "startup: from process start, one vCPU and three devices";
const PHASES = new URL("startup_phases.ts", import.meta.url).pathname;

interface Sample {
  /** Milliseconds to the guest's first instruction, by the guest's clock. */
  readonly first: number;
  /** Milliseconds to the first byte of ttyS0 on stdout. */
  readonly byte: number;
  /** Milliseconds to each mark, where the process sets some. */
  readonly marks: Readonly<Record<string, number>>;
}

export async function measureStartup(): Promise<Section> {
  const skipped = await noKvm();
  if (skipped !== undefined) return { title: TITLE, rows: [], skipped };
  return await inFolder(async (folder) => {
    const { manifest, empty, disk, kernel } = await prepare(folder);
    const qemu = await findQemu().catch((error: Error) => error.message);
    const contenders: Record<string, () => Promise<Sample>> = {
      deno: () => toEnd(denoCommand(empty)),
      // The walls are measured in isolation.ts.
      paddock: () => toGuest(paddockCommand(manifest, "--sandbox=off")),
      phases: () => toGuest(denoCommand(PHASES, "--sandbox=off", manifest)),
    };
    if (typeof qemu !== "string") {
      contenders.qemu = () => toGuest(tinyQemu(qemu, kernel, disk));
    }
    const { deno = [], paddock = [], phases = [], qemu: microvm = [] } =
      await inTurns(ROUNDS, contenders);
    return {
      title: TITLE,
      rows: rows(paddock, deno, microvm),
      notes: [
        `milliseconds, median of ${ROUNDS} starts in turns`,
        ...(typeof qemu === "string" ? [`no QEMU: ${qemu}`] : []),
        "QEMU's time includes its firmware, which runs in the guest",
        "",
        ...breakdown(phases),
      ],
    };
  });
}

export async function prepare(folder: string) {
  const files = {
    manifest: `${folder}/vm.json`,
    empty: `${folder}/empty.ts`,
    disk: `${folder}/disk.img`,
    kernel: `${folder}/tiny.elf`,
  };
  await Deno.writeFile(files.kernel, tinyGuest());
  await Deno.writeTextFile(files.empty, "");
  await Deno.writeFile(files.disk, new Uint8Array(2 ** 20));
  const boot = { kernel: files.kernel };
  const devices = [
    { use: "console" },
    { use: "block", path: files.disk },
    { use: "rng" },
  ];
  const manifest = { memory: "32M", boot, devices };
  await Deno.writeTextFile(files.manifest, JSON.stringify(manifest));
  return files;
}

function tinyQemu(qemu: Qemu, kernel: string, disk: string): Deno.Command {
  return qemuCommand(qemu, {
    memory: 32,
    cpu: "qemu64",
    kernel,
    disk,
    stdio: "serial",
  });
}

async function toEnd(command: Deno.Command): Promise<Sample> {
  const start = now();
  await command.output();
  const end = now() - start;
  return { first: end, byte: end, marks: {} };
}

/** Reads the guest's report; marks come on stderr, as a line of JSON. */
export async function toGuest(command: Deno.Command): Promise<Sample> {
  const start = now();
  await using child = command.spawn();
  const errors = new Response(child.stderr).text();
  const report = new Uint8Array(REPORT_SIZE);
  let byte = NaN;
  let length = 0;
  for await (const chunk of child.stdout) {
    if (length === 0) byte = now() - start;
    report.set(chunk.subarray(0, REPORT_SIZE - length), length);
    length += chunk.length;
  }
  const said = await errors;
  if (length < REPORT_SIZE) {
    throw new Error(`The guest did not report; the process said: ${said}`);
  }
  const marks = JSON.parse(/^{"marks":(.*)}$/m.exec(said)?.[1] ?? "{}");
  const relative = Object.entries<number>(marks).map(([name, at]) =>
    [name, at - start] as const
  );
  const first = firstInstruction(report) - start;
  return { first, byte, marks: Object.fromEntries(relative) };
}

function rows(
  paddock: readonly Sample[],
  deno: readonly Sample[],
  qemu: readonly Sample[],
): Row[] {
  const of = (samples: readonly Sample[], key: "first" | "byte") =>
    median(samples.map((sample) => sample[key]));
  const row = (
    name: string,
    key: "first" | "byte",
    reference: readonly Sample[],
    goal: number | null,
  ): Row => ({
    name,
    unit: "ms",
    value: of(paddock, key),
    reference: of(reference, key),
    goal,
  });
  const rows = [row("first instruction / empty deno", "first", deno, 1.2)];
  if (qemu.length === 0) return rows;
  return [
    ...rows,
    row("first instruction / QEMU microvm", "first", qemu, 1.1),
    row("first byte on stdout / QEMU", "byte", qemu, 1.1),
  ];
}

/** Where the time goes in a Paddock that sets marks; it is a little slower for it. */
function breakdown(samples: readonly Sample[]): string[] {
  const at = (name: string) =>
    median(samples.map(({ marks }) => marks[name] ?? NaN));
  const ends = [
    ...Object.keys(samples[0]?.marks ?? {}).map((name) =>
      [name, at(name)] as const
    ),
    [
      "vCPU thread, to the first instruction",
      median(samples.map((s) => s.first)),
    ],
    ["stdout, after the device threads", median(samples.map((s) => s.byte))],
  ] as const;
  let before = 0;
  return ends.map(([name, end]) => {
    const line = `${name.padEnd(40)}${(end - before).toFixed(1).padStart(7)}` +
      `${end.toFixed(1).padStart(8)}`;
    before = end;
    return line;
  });
}
