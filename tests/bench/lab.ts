// Debian's kernel to init and through to the power off, in the lab, against QEMU microvm beside it.
import { canRunLab, ensureLab, runInLab } from "../lab/lab.ts";
import type { LabArguments, LabSamples } from "./lab_side.ts";
import { median, type Row, type Section } from "./report.ts";

const ROUNDS = 5;
const TIMEOUT = 600;
const TITLE = "lab: Debian's kernel, against QEMU microvm in the same lab";
const SIDE = new URL("lab_side.ts", import.meta.url).pathname;

export async function measureLab(): Promise<Section> {
  if (!canRunLab()) {
    const skipped = "the lab is for x86-64 Linux hosts, and does not nest";
    return { title: TITLE, rows: [], skipped };
  }
  const { qemu, kernel } = await ensureLab();
  const options: LabArguments = { rounds: ROUNDS, qemu, kernel };
  const { code, stdout, stderr } = await runInLab(
    [Deno.execPath(), "run", "-A", SIDE, JSON.stringify(options)],
    // A VM's threads need a second one. Its guest is quiet, so that the lab's fault with two (qemu.ts) is rarely met.
    { timeout: TIMEOUT, cpus: 2 },
  );
  if (code !== 0) throw new Error(`The benchmark failed in the lab: ${stderr}`);
  const samples: LabSamples = JSON.parse(stdout);
  return {
    title: TITLE,
    rows: [
      row("guest time to init", "uptime", samples, 1.1),
      row("process start to init's line", "line", samples, null),
      row("whole process", "whole", samples, 1.5),
    ],
    notes: [
      `seconds, median of ${ROUNDS} boots in turns; one vCPU, same kernel file,`,
      "initramfs and command line, console, disk and entropy source",
    ],
  };
}

function row(
  name: string,
  key: "uptime" | "line" | "whole",
  { paddock, qemu }: LabSamples,
  goal: number | null,
): Row {
  const of = (all: LabSamples["qemu"]) => median(all.map((each) => each[key]));
  return { name, unit: "s", value: of(paddock), reference: of(qemu), goal };
}
