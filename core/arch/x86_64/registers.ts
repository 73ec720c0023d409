// Thread: vcpu
// A vCPU's registers before its first instruction: CPUID, MSRs, segments, control registers.
import { BOOT_GDT, BOOT_PML4, BOOT_STACK_TOP } from "../../memory/layout.ts";
import { KvmDtable, KvmRegs, KvmSegment } from "../../kvm/abi.ts";
import type { KvmVcpu } from "../../kvm/vcpu_fd.ts";
import {
  SELECTOR_CODE32,
  SELECTOR_CODE64,
  SELECTOR_DATA,
  SELECTOR_TSS,
} from "./entry.ts";
import type { EntryState } from "./entry.ts";

const CR0_PE = 1;
const CR0_ET = 0x10;
const CR0_PG = 2 ** 31;
const CR4_PAE = 0x20;
const EFER_LME_LMA = 0x500;
const RFLAGS_RESERVED = 2;

const MSR_IA32_MISC_ENABLE = 0x1a0;
const FAST_STRING = 1;
const MSR_MTRR_DEF_TYPE = 0x2ff;
const MTRR_ENABLED_WRITE_BACK = 0x806;

/** What firmware would set on every vCPU: fast string instructions, and RAM cached by default. */
export function setBootMsrs(vcpu: KvmVcpu): void {
  vcpu.setMsrs([[MSR_IA32_MISC_ENABLE, FAST_STRING], [
    MSR_MTRR_DEF_TYPE,
    MTRR_ENABLED_WRITE_BACK,
  ]]);
}

function segment(
  selector: number,
  type: number,
  options: { l?: boolean; system?: boolean },
): Uint8Array {
  const it = new KvmSegment();
  it.selector = selector;
  it.type = type;
  it.present = 1;
  it.limit = options.system ? 0x67 : 0xffff_ffff;
  it.s = options.system ? 0 : 1;
  it.g = options.system ? 0 : 1;
  it.l = options.l ? 1 : 0;
  it.db = options.l || options.system ? 0 : 1;
  return it.bytes;
}

const CODE = 0xb;
const DATA = 0x3;
const BUSY_TSS = 0xb;

/** Puts vCPU 0 where the boot protocol enters. The others wait for their SIPI as KVM made them. */
export function setEntry(vcpu: KvmVcpu, entry: EntryState): void {
  const long = entry.mode === "long64";
  const sregs = vcpu.sregs;
  const data = segment(SELECTOR_DATA, DATA, {});
  sregs.cs = long
    ? segment(SELECTOR_CODE64, CODE, { l: true })
    : segment(SELECTOR_CODE32, CODE, {});
  sregs.ds =
    sregs.es =
    sregs.fs =
    sregs.gs =
    sregs.ss =
      data;
  sregs.tr = segment(SELECTOR_TSS, BUSY_TSS, { system: true });
  const gdt = new KvmDtable();
  gdt.base = BOOT_GDT;
  gdt.limit = 6 * 8 - 1;
  sregs.gdt = gdt.bytes;
  sregs.idt = new KvmDtable().bytes;
  sregs.cr0 = CR0_PE + CR0_ET + (long ? CR0_PG : 0);
  sregs.cr3 = long ? BOOT_PML4 : 0;
  sregs.cr4 = long ? CR4_PAE : 0;
  sregs.efer = long ? EFER_LME_LMA : 0;
  vcpu.setSregs(sregs);
  const regs = new KvmRegs();
  regs.rip = entry.rip;
  regs.rbx = entry.rbx;
  regs.rsi = entry.rsi;
  regs.rsp = long ? BOOT_STACK_TOP : 0;
  regs.rflags = RFLAGS_RESERVED;
  vcpu.setRegs(regs);
}
