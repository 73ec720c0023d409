// The same accesses to QEMU's virtio-mmio devices and to Paddock's: their answers differ where the table says so only.
import { assert, assertEquals } from "@std/assert";
import { findQemu } from "../lab/lab.ts";
import type { Sequence } from "./driver.ts";
import { type Difference, DIFFERENCES } from "./expected.ts";
import { Paddock } from "./paddock.ts";
import { Qtest } from "./qtest.ts";
import { LEGACY, MODERN } from "./sequences.ts";
import { type DeviceName, DEVICES, diskImage, type Side } from "./side.ts";

type Layout = "modern" | "legacy";
type Notes = Map<string, string>;

/** Rows of the table that were met. */
const met = new Set<Difference>();

async function record(
  sequence: Sequence,
  side: Side,
  device: DeviceName,
): Promise<Notes> {
  const notes: Notes = new Map();
  await sequence.run(side, (step, ...values) => {
    assert(!notes.has(step), `${step} is noted twice`);
    notes.set(step, values.map((value) => value.toString(16)).join(" "));
  }, device);
  assert(notes.size > 0);
  return notes;
}

function expectedOf(
  layout: Layout,
  sequence: Sequence,
  device: DeviceName,
): readonly Difference[] {
  return DIFFERENCES.filter((one) =>
    one.sequence === sequence.name &&
    (one.layout ?? layout) === layout &&
    (one.devices ?? sequence.devices).includes(device)
  );
}

/** The differences that are there, one a line, in the order in which they were seen. */
function compare(qemu: Notes, paddock: Notes): string[] {
  const steps = new Set([...qemu.keys(), ...paddock.keys()]);
  return Array.from(steps).flatMap((step) => {
    const [theirs, ours] = [qemu.get(step) ?? "", paddock.get(step) ?? ""];
    return theirs === ours ? [] : [`${step}: ${theirs} | ${ours}`];
  });
}

/** The table's lines for the steps that there are; a row of requests is for each kind of them. */
function expand(
  rows: readonly Difference[],
  steps: Iterable<string>,
): string[] {
  return Array.from(steps).flatMap((step) =>
    rows.filter((row) => step === row.step || step.endsWith(`: ${row.step}`))
      .map((row) => {
        met.add(row);
        return `${step}: ${row.qemu} | ${row.paddock}`;
      })
  );
}

async function check(qemu: string, layout: Layout): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const isLegacy = layout === "legacy";
    await using theirs = await Qtest.start(qemu, folder, diskImage(), isLegacy);
    await using ours = await Paddock.start(folder, diskImage(), isLegacy);
    for (const sequence of isLegacy ? LEGACY : MODERN) {
      for (const device of sequence.devices) {
        const index = DEVICES.indexOf(device);
        const a = await record(sequence, theirs.device(index), device);
        const b = await record(sequence, ours.device(index), device);
        const expected = expectedOf(layout, sequence, device);
        assertEquals(
          compare(a, b),
          expand(expected, new Set([...a.keys(), ...b.keys()])),
          `${layout}, ${sequence.name} of ${device}, QEMU | Paddock`,
        );
      }
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const found = await findQemu();
function withQemu(name: string, fn: (qemu: string) => void | Promise<void>) {
  if ("qemu" in found) Deno.test(name, () => fn(found.qemu));
  else Deno.test.ignore(`${name} (skipped: ${found.reason})`, () => {});
}

for (const layout of ["modern", "legacy"] as const) {
  withQemu(
    `The ${layout} virtio-mmio answers as QEMU's, but for the table`,
    (qemu) => check(qemu, layout),
  );
}

withQemu("Each difference of the table was met", () => {
  const stale = DIFFERENCES.filter((row) => !met.has(row));
  assertEquals(stale, []);
});

Deno.test("Each difference of the table is there once, and has a section and a reason", () => {
  const seen = new Set<string>();
  for (const row of DIFFERENCES) {
    const { sequence, step, devices, layout, section, why } = row;
    const key = JSON.stringify([sequence, step, devices, layout]);
    assert(!seen.has(key), `${key} is there twice`);
    seen.add(key);
    assert(/^\d+(\.\d+)+$/.test(section) && why.length > 10, key);
    assert(row.qemu !== row.paddock, key);
  }
});
