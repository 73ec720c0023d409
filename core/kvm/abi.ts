// Thread: any
// linux/kvm.h for x86-64: ioctl numbers computed from (direction, type, number, struct size), structs declared once.
import { struct } from "../sys/struct.ts";

const KVMIO = 0xae;
const NONE = 0;
const WRITE = 1;
const READ = 2;

/** asm-generic/ioctl.h `_IOC`: direction << 30 | size << 16 | type << 8 | number. */
function ioc(direction: number, number: number, size: number): number {
  return ((direction << 30) | (size << 16) | (KVMIO << 8) | number) >>> 0;
}
const io = (number: number) => ioc(NONE, number, 0);
const iow = (number: number, size: number) => ioc(WRITE, number, size);
const ior = (number: number, size: number) => ioc(READ, number, size);
const iowr = (number: number, size: number) => ioc(READ | WRITE, number, size);

export const KvmUserspaceMemoryRegion = struct({
  slot: "u32",
  flags: "u32",
  guest_phys_addr: "u64",
  memory_size: "u64",
  userspace_addr: "u64",
});
export const KvmPitConfig = struct({ flags: "u32", pad: [60, 4] });
export const KvmIrqfd = struct({
  fd: "u32",
  gsi: "u32",
  flags: "u32",
  resamplefd: "u32",
  pad: [16, 1],
});
export const KvmIoeventfd = struct({
  datamatch: "u64",
  addr: "u64",
  len: "u32",
  fd: "i32",
  flags: "u32",
  pad: [36, 1],
});
export const KvmRegs = struct({
  rax: "u64",
  rbx: "u64",
  rcx: "u64",
  rdx: "u64",
  rsi: "u64",
  rdi: "u64",
  rsp: "u64",
  rbp: "u64",
  r8: "u64",
  r9: "u64",
  r10: "u64",
  r11: "u64",
  r12: "u64",
  r13: "u64",
  r14: "u64",
  r15: "u64",
  rip: "u64",
  rflags: "u64",
});
export const KvmSegment = struct({
  base: "u64",
  limit: "u32",
  selector: "u16",
  type: "u8",
  present: "u8",
  dpl: "u8",
  db: "u8",
  s: "u8",
  l: "u8",
  g: "u8",
  avl: "u8",
  unusable: "u8",
  padding: "u8",
});
export const KvmDtable = struct({ base: "u64", limit: "u16", padding: [6, 2] });
const SEGMENT = [KvmSegment.SIZE, 8] as const;
const DTABLE = [KvmDtable.SIZE, 8] as const;
export const KvmSregs = struct({
  cs: SEGMENT,
  ds: SEGMENT,
  es: SEGMENT,
  fs: SEGMENT,
  gs: SEGMENT,
  ss: SEGMENT,
  tr: SEGMENT,
  ldt: SEGMENT,
  gdt: DTABLE,
  idt: DTABLE,
  cr0: "u64",
  cr2: "u64",
  cr3: "u64",
  cr4: "u64",
  cr8: "u64",
  efer: "u64",
  apic_base: "u64",
  interrupt_bitmap: [32, 8],
});
export const KvmMsrEntry = struct({
  index: "u32",
  reserved: "u32",
  data: "u64",
});
/** Header of struct kvm_msrs, before its entries. */
export const KvmMsrs = struct({ nmsrs: "u32", pad: "u32" });
/** Header of struct kvm_cpuid2, before its entries. */
export const KvmCpuid2 = struct({ nent: "u32", padding: "u32" });
export const KvmCpuidEntry2 = struct({
  function: "u32",
  index: "u32",
  flags: "u32",
  eax: "u32",
  ebx: "u32",
  ecx: "u32",
  edx: "u32",
  padding: [12, 4],
});
/** Header of struct kvm_signal_mask with the kernel's 8-byte sigset behind it. */
export const KvmSignalMask = struct({ len: "u32", sigset: [8, 1] });

/** Head of struct kvm_run, up to the exit's union. */
export const KvmRun = struct({
  request_interrupt_window: "u8",
  immediate_exit: "u8",
  padding1: [6, 1],
  exit_reason: "u32",
  ready_for_interrupt_injection: "u8",
  if_flag: "u8",
  flags: "u16",
  cr8: "u64",
  apic_base: "u64",
  exit: [256, 8],
});
/** kvm_run.io */
export const KvmRunIo = struct({
  direction: "u8",
  size: "u8",
  port: "u16",
  count: "u32",
  data_offset: "u64",
});
/** kvm_run.mmio */
export const KvmRunMmio = struct({
  phys_addr: "u64",
  data: [8, 1],
  len: "u32",
  is_write: "u8",
});
/** kvm_run.internal and kvm_run.system_event have the same head. */
export const KvmRunInternal = struct({
  suberror: "u32",
  ndata: "u32",
  data: [128, 8],
});

export const KVM_API_VERSION = 12;
export const KVM_GET_API_VERSION = io(0x00);
export const KVM_CREATE_VM = io(0x01);
export const KVM_CHECK_EXTENSION = io(0x03);
export const KVM_GET_VCPU_MMAP_SIZE = io(0x04);
export const KVM_GET_SUPPORTED_CPUID = iowr(0x05, KvmCpuid2.SIZE);
export const KVM_CREATE_VCPU = io(0x41);
export const KVM_SET_USER_MEMORY_REGION = iow(
  0x46,
  KvmUserspaceMemoryRegion.SIZE,
);
export const KVM_SET_TSS_ADDR = io(0x47);
export const KVM_SET_IDENTITY_MAP_ADDR = iow(0x48, 8);
export const KVM_CREATE_IRQCHIP = io(0x60);
export const KVM_IRQFD = iow(0x76, KvmIrqfd.SIZE);
export const KVM_IOEVENTFD = iow(0x79, KvmIoeventfd.SIZE);
export const KVM_CREATE_PIT2 = iow(0x77, KvmPitConfig.SIZE);
export const KVM_RUN = io(0x80);
export const KVM_GET_REGS = ior(0x81, KvmRegs.SIZE);
export const KVM_SET_REGS = iow(0x82, KvmRegs.SIZE);
export const KVM_GET_SREGS = ior(0x83, KvmSregs.SIZE);
export const KVM_SET_SREGS = iow(0x84, KvmSregs.SIZE);
export const KVM_SET_MSRS = iow(0x89, KvmMsrs.SIZE);
/** Its size counts the header only; the sigset follows (api.rst 4.16). */
export const KVM_SET_SIGNAL_MASK = iow(0x8b, 4);
export const KVM_SET_CPUID2 = iow(0x90, KvmCpuid2.SIZE);

export const KVM_IOEVENTFD_FLAG_DATAMATCH = 1;
export const KVM_IOEVENTFD_FLAG_DEASSIGN = 4;
/** The speaker port reads as if it toggled, so that Linux need not emulate it (api.rst 4.71). */
export const KVM_PIT_SPEAKER_DUMMY = 1;

export const KVM_EXIT_IO = 2;
export const KVM_EXIT_HLT = 5;
export const KVM_EXIT_MMIO = 6;
export const KVM_EXIT_SHUTDOWN = 8;
export const KVM_EXIT_FAIL_ENTRY = 9;
export const KVM_EXIT_INTR = 10;
export const KVM_EXIT_INTERNAL_ERROR = 17;
export const KVM_EXIT_SYSTEM_EVENT = 24;
export const KVM_EXIT_IO_IN = 0;

/** Capabilities that Paddock uses: number, whether a VM needs it, and what for. */
export const CAPABILITIES = [
  {
    name: "KVM_CAP_IRQCHIP",
    number: 0,
    required: true,
    use: "interrupt controllers in the kernel",
  },
  { name: "KVM_CAP_USER_MEMORY", number: 3, required: true, use: "guest RAM" },
  {
    name: "KVM_CAP_SET_TSS_ADDR",
    number: 4,
    required: true,
    use: "real mode on Intel",
  },
  {
    name: "KVM_CAP_EXT_CPUID",
    number: 7,
    required: true,
    use: "the guest's CPUID",
  },
  { name: "KVM_CAP_NR_VCPUS", number: 9, required: true, use: "vCPUs" },
  {
    name: "KVM_CAP_IRQFD",
    number: 32,
    required: true,
    use: "interrupts of virtio devices",
  },
  {
    name: "KVM_CAP_PIT2",
    number: 33,
    required: true,
    use: "the interval timer",
  },
  {
    name: "KVM_CAP_SET_IDENTITY_MAP_ADDR",
    number: 37,
    required: true,
    use: "real mode on Intel",
  },
  {
    name: "KVM_CAP_TSC_DEADLINE_TIMER",
    number: 72,
    required: true,
    use: "the guest's timer",
  },
] as const;
export const KVM_CAP_MAX_VCPUS = 66;
