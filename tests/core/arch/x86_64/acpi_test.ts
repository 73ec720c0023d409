import { assert, assertEquals, assertLess } from "@std/assert";
import { buildAcpiTables } from "../../../../core/arch/x86_64/acpi.ts";

const BASE = 0xe0000;

function build(cpus: number, count: number): Uint8Array {
  const devices = Array.from({ length: count }, (_, i) => ({
    base: 0xd000_0000 + i * 0x1000,
    size: 0x1000,
    gsi: 5 + i,
  }));
  return buildAcpiTables({ cpus, devices }).bytes;
}

/** Follows RSDP, XSDT, FADT and X_DSDT as a guest does. */
function tablesOf(bytes: Uint8Array): Map<string, Uint8Array> {
  const view = new DataView(bytes.buffer);
  const tables = new Map<string, Uint8Array>();
  const read = (address: number) => {
    const at = address - BASE;
    const table = bytes.subarray(at, at + view.getUint32(at + 4, true));
    tables.set(text(table, 0, 4), table);
    return table;
  };
  const u64 = (at: number) => Number(view.getBigUint64(at, true));
  const xsdt = read(u64(24));
  for (let at = 36; at < xsdt.length; at += 8) {
    read(u64(xsdt.byteOffset + at));
  }
  read(u64(tables.get("FACP")!.byteOffset + 140));
  return tables;
}

function text(bytes: Uint8Array, start: number, end: number): string {
  return String.fromCharCode(...bytes.subarray(start, end));
}

function sum(bytes: Uint8Array): number {
  return bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
}

function count(bytes: Uint8Array, needle: string): number {
  return text(bytes, 0, bytes.length).split(needle).length - 1;
}

Deno.test("buildAcpiTables() starts with a root pointer of revision 2", () => {
  const { bytes, rsdp } = buildAcpiTables({ cpus: 1, devices: [] });
  assertEquals(rsdp, 0xe0000);
  assertEquals(text(bytes, 0, 8), "RSD PTR ");
  assertEquals([bytes[15], bytes[20]], [2, 36]);
  assertEquals(sum(bytes.subarray(0, 20)), 0);
  assertEquals(sum(bytes.subarray(0, 36)), 0);
});

Deno.test("buildAcpiTables() links tables whose checksums hold", () => {
  const tables = tablesOf(build(2, 3));
  assertEquals([...tables.keys()].sort(), ["APIC", "DSDT", "FACP", "XSDT"]);
  for (const [signature, table] of tables) {
    assertEquals(sum(table), 0, signature);
    assertEquals(text(table, 10, 16), "PADDCK", signature);
  }
});

Deno.test("FADT is hardware-reduced, with reset and sleep registers", () => {
  const fadt = tablesOf(build(1, 0)).get("FACP")!;
  const view = new DataView(fadt.buffer, fadt.byteOffset, fadt.length);
  assertEquals([fadt.length, fadt[8], fadt[131]], [276, 6, 5]);
  assertEquals(view.getUint32(112, true), 0x0010_0431);
  // No VGA, no MSI, no CMOS clock, and no 8042 either.
  assertEquals(view.getUint16(109, true), 0x002c);
  const register = (port: number) => [1, 8, 0, 1, port, 6, 0, 0, 0, 0, 0, 0];
  assertEquals([...fadt.subarray(116, 129)], [...register(2), 1]);
  assertEquals([...fadt.subarray(244, 256)], register(0));
  assertEquals([...fadt.subarray(256, 268)], register(1));
});

Deno.test("MADT lists a local APIC a processor and one IOAPIC", () => {
  const madt = tablesOf(build(3, 0)).get("APIC")!;
  assertEquals([...madt.subarray(36)], [
    ...[0x00, 0x00, 0xe0, 0xfe, 0, 0, 0, 0],
    ...[0, 8, 0, 0, 1, 0, 0, 0],
    ...[0, 8, 1, 1, 1, 0, 0, 0],
    ...[0, 8, 2, 2, 1, 0, 0, 0],
    ...[1, 12, 0, 0, 0x00, 0x00, 0xc0, 0xfe, 0, 0, 0, 0],
  ]);
});

Deno.test("DSDT describes every device, the serial port, pvpanic and _S5", () => {
  const dsdt = tablesOf(build(1, 19)).get("DSDT")!;
  assertEquals(count(dsdt, "LNRO0005"), 19);
  assertEquals(count(dsdt, "QEMU0001"), 1);
  assertEquals(count(dsdt, "\x0c\x41\xd0\x05\x01"), 1);
  assertEquals(count(dsdt, "\x08\\_S5_\x12\x07\x04\x0a\x05\0\0\0"), 1);
  // The last device: its window and then its line.
  const window = "\x86\x09\0\x01\0\x20\x01\xd0\0\x10\0\0";
  assertEquals(count(dsdt, `${window}\x89\x06\0\x03\x01\x17\0\0\0`), 1);
  assertEquals(count(dsdt, "\x47\x01\x05\x05\x05\x05\x01\x01"), 1);
});

Deno.test("buildAcpiTables() fits its room with the most of everything", () => {
  assertLess(build(64, 19).length, 0x20000);
});

Deno.test("iasl takes every table without a warning", async (t) => {
  const folder = await Deno.makeTempDir();
  try {
    for (const [signature, table] of tablesOf(build(64, 19))) {
      const file = `${folder}/${signature}.dat`;
      await Deno.writeFile(file, table);
      const output = await disassemble(file);
      if (output === null) continue;
      await t.step(signature, () => {
        assert(/(ASL|Formatted) output:/i.test(output), output);
        assert(!/warning|error/i.test(output), output);
      });
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** What `iasl -d` prints; null where it is not installed. */
async function disassemble(file: string): Promise<string | null> {
  try {
    const { stdout, stderr } = await new Deno.Command("iasl", {
      args: ["-d", file],
    }).output();
    const decoder = new TextDecoder();
    return decoder.decode(stdout) + decoder.decode(stderr);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
