// Thread: any
// How a boot protocol enters the guest: register values, and the memory that they point to.
import { BOOT_GDT, BOOT_PML4 } from "../../memory/layout.ts";

/** Where and how vCPU 0 starts. Plain data, for postMessage. */
export interface EntryState {
  /** `protected32`: flat 32-bit, no paging (PVH). `long64`: 64-bit, the low 4 GiB mapped as they are. */
  readonly mode: "protected32" | "long64";
  readonly rip: number;
  /** rbx: PVH start_info. rsi: Linux boot_params (Documentation/arch/x86/boot.rst, 64-bit boot protocol). */
  readonly rbx: number;
  readonly rsi: number;
}

/** A blob and the GPA where it goes. */
export interface LoadItem {
  readonly gpa: number;
  readonly data: Uint8Array;
}

export const SELECTOR_CODE64 = 0x10;
export const SELECTOR_DATA = 0x18;
export const SELECTOR_CODE32 = 0x20;
export const SELECTOR_TSS = 0x28;

/** GDT: __BOOT_CS at 0x10 and __BOOT_DS at 0x18, as the 64-bit boot protocol wants, then 32-bit code and a TSS. */
function gdt(): LoadItem {
  const entries = new BigUint64Array([
    0n,
    0n,
    0x00af_9b00_0000_ffffn, // 64-bit code
    0x00cf_9300_0000_ffffn, // data
    0x00cf_9b00_0000_ffffn, // 32-bit code
    0x0000_8b00_0000_0067n, // busy TSS at 0
  ]);
  return { gpa: BOOT_GDT, data: new Uint8Array(entries.buffer) };
}

/** Identity map of the low 4 GiB with 2 MiB pages: PML4, PDPT, four PDs. */
function pageTables(): LoadItem {
  const PRESENT_WRITABLE = 3n;
  const LARGE = 1n << 7n;
  const tables = new BigUint64Array(6 * 512);
  const gpa = BigInt(BOOT_PML4);
  tables[0] = (gpa + 0x1000n) | PRESENT_WRITABLE;
  for (let i = 0; i < 4; i++) {
    tables[512 + i] = (gpa + 0x2000n + BigInt(i) * 0x1000n) | PRESENT_WRITABLE;
  }
  for (let i = 0; i < 4 * 512; i++) {
    tables[1024 + i] = (BigInt(i) << 21n) | LARGE | PRESENT_WRITABLE;
  }
  return { gpa: BOOT_PML4, data: new Uint8Array(tables.buffer) };
}

/** What an entry needs in memory before the first instruction. */
export function entryMemory(mode: EntryState["mode"]): LoadItem[] {
  return mode === "long64" ? [gdt(), pageTables()] : [gdt()];
}
