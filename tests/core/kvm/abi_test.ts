import { assertEquals } from "@std/assert";
import * as abi from "../../../core/kvm/abi.ts";

// What a C program that includes linux/kvm.h prints on x86-64.
const NUMBERS = {
  KVM_GET_API_VERSION: 0xae00,
  KVM_CREATE_VM: 0xae01,
  KVM_CHECK_EXTENSION: 0xae03,
  KVM_GET_VCPU_MMAP_SIZE: 0xae04,
  KVM_GET_SUPPORTED_CPUID: 0xc008ae05,
  KVM_CREATE_VCPU: 0xae41,
  KVM_SET_USER_MEMORY_REGION: 0x4020ae46,
  KVM_SET_TSS_ADDR: 0xae47,
  KVM_SET_IDENTITY_MAP_ADDR: 0x4008ae48,
  KVM_CREATE_IRQCHIP: 0xae60,
  KVM_IRQFD: 0x4020ae76,
  KVM_CREATE_PIT2: 0x4040ae77,
  KVM_RUN: 0xae80,
  KVM_GET_REGS: 0x8090ae81,
  KVM_SET_REGS: 0x4090ae82,
  KVM_GET_SREGS: 0x8138ae83,
  KVM_SET_SREGS: 0x4138ae84,
  KVM_SET_MSRS: 0x4008ae89,
  KVM_SET_SIGNAL_MASK: 0x4004ae8b,
  KVM_SET_CPUID2: 0x4008ae90,
  KVM_CAP_MAX_VCPUS: 0x42,
  KVM_EXIT_IO: 0x2,
  KVM_EXIT_HLT: 0x5,
  KVM_EXIT_MMIO: 0x6,
  KVM_EXIT_SHUTDOWN: 0x8,
  KVM_EXIT_FAIL_ENTRY: 0x9,
  KVM_EXIT_INTR: 0xa,
  KVM_EXIT_INTERNAL_ERROR: 0x11,
  KVM_EXIT_SYSTEM_EVENT: 0x18,
  KVM_EXIT_IO_IN: 0x0,
  KVM_PIT_SPEAKER_DUMMY: 0x1,
};
const CAPABILITIES = {
  KVM_CAP_IRQCHIP: 0x0,
  KVM_CAP_USER_MEMORY: 0x3,
  KVM_CAP_SET_TSS_ADDR: 0x4,
  KVM_CAP_EXT_CPUID: 0x7,
  KVM_CAP_NR_VCPUS: 0x9,
  KVM_CAP_IRQFD: 0x20,
  KVM_CAP_PIT2: 0x21,
  KVM_CAP_SET_IDENTITY_MAP_ADDR: 0x25,
  KVM_CAP_TSC_DEADLINE_TIMER: 0x48,
};
const SIZES = {
  KvmUserspaceMemoryRegion: 0x20,
  KvmPitConfig: 0x40,
  KvmIrqfd: 0x20,
  KvmRegs: 0x90,
  KvmSegment: 0x18,
  KvmDtable: 0x10,
  KvmSregs: 0x138,
  KvmMsrEntry: 0x10,
  KvmMsrs: 0x8,
  KvmCpuid2: 0x8,
  KvmCpuidEntry2: 0x28,
};
const OFFSETS = {
  KvmRun: {
    immediate_exit: 0x1,
    exit_reason: 0x8,
    if_flag: 0xd,
    cr8: 0x10,
    apic_base: 0x18,
  },
  KvmRunIo: {
    direction: 0x0,
    size: 0x1,
    port: 0x2,
    count: 0x4,
    data_offset: 0x8,
  },
  KvmRunMmio: { phys_addr: 0x0, data: 0x8, len: 0x10, is_write: 0x14 },
  KvmRunInternal: { suberror: 0x0, ndata: 0x4, data: 0x8 },
  KvmSregs: {
    cs: 0x0,
    gdt: 0xc0,
    cr0: 0xe0,
    efer: 0x108,
    apic_base: 0x110,
    interrupt_bitmap: 0x118,
  },
  KvmSegment: { type: 0xe, l: 0x13, unusable: 0x16 },
  KvmRegs: { rsp: 0x30, r8: 0x40, rip: 0x80 },
  KvmIrqfd: { resamplefd: 0xc },
};

Deno.test("ioctl numbers, exit reasons and flags are the kernel's", () => {
  const actual = Object.fromEntries(
    Object.keys(NUMBERS).map((
      name,
    ) => [name, abi[name as keyof typeof NUMBERS]]),
  );
  assertEquals(actual, NUMBERS);
});

Deno.test("Capability numbers are the kernel's", () => {
  const actual = Object.fromEntries(
    abi.CAPABILITIES.map(({ name, number }) => [name, number]),
  );
  assertEquals(actual, CAPABILITIES);
});

Deno.test("Structs have the kernel's sizes", () => {
  const actual = Object.fromEntries(
    Object.keys(SIZES).map((
      name,
    ) => [name, abi[name as keyof typeof SIZES].SIZE]),
  );
  assertEquals(actual, SIZES);
});

for (const [name, fields] of Object.entries(OFFSETS)) {
  Deno.test(`${name} has the kernel's offsets`, () => {
    const offsets: Record<string, number> =
      abi[name as keyof typeof OFFSETS].OFFSET;
    const actual = Object.fromEntries(
      Object.keys(fields).map((field) => [field, offsets[field]]),
    );
    assertEquals(actual, fields as Record<string, number>);
  });
}

Deno.test("The union of kvm_run starts at 0x20, the sigset of a mask at 4", () => {
  assertEquals(abi.KvmRun.OFFSET.exit, 0x20);
  assertEquals(abi.KvmSignalMask.OFFSET.sigset, 0x4);
});
