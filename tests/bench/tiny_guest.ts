// The least guest that tells when it started: an ELF file with a PVH entry, made here byte by byte.

const BASE = 0x10_0000;
const ELF_HEADER = 64;
const PROGRAM_HEADER = 56;
const NOTE = ELF_HEADER + 2 * PROGRAM_HEADER;
const NOTE_SIZE = 20;
const CODE = NOTE + NOTE_SIZE;
const XEN_ELFNOTE_PHYS32_ENTRY = 18;

// What the guest sends: struct pvclock_wall_clock, struct pvclock_vcpu_time_info, its first TSC
// (Linux arch/x86/include/asm/pvclock-abi.h).
const REPORT = BASE + 0x1000;
const WALL_CLOCK = REPORT;
const SYSTEM_TIME = REPORT + 0x20;
const FIRST_TSC = REPORT + 0x40;
export const REPORT_SIZE = 0x48;
const NO_IDT = REPORT + 0x50;
const MSR_KVM_WALL_CLOCK_NEW = 0x4b56_4d00;
const MSR_KVM_SYSTEM_TIME_NEW = 0x4b56_4d01;
const SYSTEM_TIME_ENABLED = 1;

/** Its first instruction reads the TSC; then it sends its report to COM1, powers off, or triple-faults. */
function code(): number[] {
  const imm32 = (value: number) => [0, 8, 16, 24].map((n) => value >>> n & 255);
  return [
    [0x0f, 0x31], // rdtsc
    [0xa3, ...imm32(FIRST_TSC)], // mov [FIRST_TSC], eax
    [0x89, 0x15, ...imm32(FIRST_TSC + 4)], // mov [FIRST_TSC + 4], edx
    [0xb9, ...imm32(MSR_KVM_WALL_CLOCK_NEW)], // mov ecx, …
    [0xb8, ...imm32(WALL_CLOCK)], // mov eax, …
    [0x31, 0xd2], // xor edx, edx
    [0x0f, 0x30], // wrmsr
    [0xb9, ...imm32(MSR_KVM_SYSTEM_TIME_NEW)],
    [0xb8, ...imm32(SYSTEM_TIME | SYSTEM_TIME_ENABLED)],
    [0x0f, 0x30],
    [0xbe, ...imm32(REPORT)], // mov esi, REPORT
    [0xb9, ...imm32(REPORT_SIZE)], // mov ecx, REPORT_SIZE
    [0x66, 0xba, 0xf8, 0x03], // mov dx, 0x3f8
    [0xac, 0xee, 0xe2, 0xfc], // 1: lodsb; out dx, al; loop 1b
    [0x66, 0xba, 0x00, 0x06, 0xb0, 0x34, 0xee], // mov dx, 0x600; mov al, 0x34; out dx, al
    [0x0f, 0x01, 0x1d, ...imm32(NO_IDT)], // lidt [NO_IDT]
    [0x0f, 0x0b], // ud2
  ].flat();
}

/** The file. It needs 2 MiB of RAM and no devices but the serial port. */
export function tinyGuest(): Uint8Array<ArrayBuffer> {
  const instructions = code();
  const file = new Uint8Array(CODE + instructions.length);
  const view = new DataView(file.buffer);
  const u64 = (at: number, value: number) =>
    view.setBigUint64(at, BigInt(value), true);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // ELFCLASS64, ELFDATA2LSB, EV_CURRENT
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, 62, true); // EM_X86_64
  view.setUint32(20, 1, true); // EV_CURRENT
  u64(24, BASE + CODE); // e_entry
  u64(32, ELF_HEADER); // e_phoff
  view.setUint16(52, ELF_HEADER, true);
  view.setUint16(54, PROGRAM_HEADER, true);
  view.setUint16(56, 2, true); // e_phnum
  const segment = (at: number, type: number, start: number, size: number) => {
    view.setUint32(at, type, true);
    view.setUint32(at + 4, 7, true); // PF_R | PF_W | PF_X
    const fields = [start, BASE + start, BASE + start, size, size, 4];
    fields.forEach((value, i) => u64(at + 8 + 8 * i, value));
  };
  segment(ELF_HEADER, 1, 0, file.length); // PT_LOAD
  segment(ELF_HEADER + PROGRAM_HEADER, 4, NOTE, NOTE_SIZE); // PT_NOTE
  const note = [4, 4, XEN_ELFNOTE_PHYS32_ENTRY];
  note.forEach((value, i) => view.setUint32(NOTE + 4 * i, value, true));
  file.set(new TextEncoder().encode("Xen"), NOTE + 12);
  view.setUint32(NOTE + 16, BASE + CODE, true);
  file.set(instructions, CODE);
  return file;
}

/** When the guest's first instruction ran: ms since 1970 by the host's clock. */
export function firstInstruction(report: Uint8Array): number {
  const { buffer, byteOffset } = report;
  const view = new DataView(buffer, byteOffset, REPORT_SIZE);
  const boot = view.getUint32(4, true) * 1e3 + view.getUint32(8, true) / 1e6;
  // KVM wrote the system time after the first TSC was read, so the difference is negative.
  const ticks = view.getBigUint64(0x40, true) -
    view.getBigUint64(0x28, true);
  const shift = view.getInt8(0x3c);
  const scaled = shift < 0 ? ticks >> BigInt(-shift) : ticks << BigInt(shift);
  const since = scaled * BigInt(view.getUint32(0x38, true)) >> 32n;
  return boot + Number(view.getBigUint64(0x30, true) + since) / 1e6;
}
