// Thread: vcpu
// Gives each vCPU its own CPUID: APIC ids, and a topology of one package with one thread a core.

import { KvmCpuid2, KvmCpuidEntry2 } from "../../kvm/abi.ts";

type Entry = InstanceType<typeof KvmCpuidEntry2>;

const KVM_CPUID_FLAG_SIGNIFCANT_INDEX = 1;
const KVM_CPUID_SIGNATURE = 0x4000_0000;
const KVM_CPUID_FEATURES = 0x4000_0001;

/** Leaf 1, ECX and EDX (Intel SDM volume 2A, CPUID). */
const TSC_DEADLINE = 1 << 24;
const HYPERVISOR = 1 << 31;
const HTT = 1 << 28;

/** Level types of leaves 0xb and 0x1f, ECX. */
const LEVEL_SMT = 1 << 8;
const LEVEL_CORE = 2 << 8;
const NO_LEVEL = { type: 0, shift: 0, processors: 0 };

/**
 * Patches what KVM_GET_SUPPORTED_CPUID returned, in place, for the vCPU `apicId` of `cpus`.
 * Patching a table again, for another vCPU, is fine.
 * @param table struct kvm_cpuid2, its entries, and room for six more
 */
export function patchCpuid(
  table: Uint8Array<ArrayBuffer>,
  apicId: number,
  cpus: number,
): void {
  const leaves = new Leaves(table);
  const topology = { apicId, cpus, idBits: Math.ceil(Math.log2(cpus)) };
  patchFeatures(leaves, topology);
  patchCaches(leaves, topology);
  patchLevels(leaves, topology);
  patchAmd(leaves, topology);
  addSignature(leaves);
}

interface Topology {
  readonly apicId: number;
  readonly cpus: number;
  /** Width of an APIC id inside the package. */
  readonly idBits: number;
}

/** The entries of a struct kvm_cpuid2. */
class Leaves {
  readonly #table: Uint8Array<ArrayBuffer>;
  readonly #header: InstanceType<typeof KvmCpuid2>;
  constructor(table: Uint8Array<ArrayBuffer>) {
    this.#table = table;
    this.#header = new KvmCpuid2(table);
  }

  #entry(position: number): Entry {
    const offset = KvmCpuid2.SIZE + position * KvmCpuidEntry2.SIZE;
    return new KvmCpuidEntry2(this.#table.subarray(offset));
  }

  /** All entries of a leaf, one a subleaf. */
  of(leaf: number): Entry[] {
    return Array.from({ length: this.#header.nent }, (_, i) => this.#entry(i))
      .filter((entry) => entry.function === leaf);
  }

  add(leaf: number, index: number, flags: number): Entry {
    const entry = this.#entry(this.#header.nent++);
    entry.bytes.fill(0, 0, KvmCpuidEntry2.SIZE);
    entry.function = leaf;
    entry.index = index;
    entry.flags = flags;
    return entry;
  }
}

/** KVM's timer has the deadline mode, which the capability shows and older lists do not. */
function patchFeatures(leaves: Leaves, { apicId, cpus }: Topology): void {
  for (const entry of leaves.of(1)) {
    entry.ebx = bits(entry.ebx, 0xffff_0000, apicId << 24 | cpus << 16);
    entry.ecx |= HYPERVISOR | TSC_DEADLINE;
    entry.edx = bits(entry.edx, HTT, cpus > 1 ? HTT : 0);
  }
}

/** Leaf 4 and AMD's 0x8000001d: the third-level cache is shared, the lower ones are a core's own. */
function patchCaches(leaves: Leaves, { idBits }: Topology): void {
  const lastId = (1 << idBits) - 1;
  for (const entry of [...leaves.of(4), ...leaves.of(0x8000_001d)]) {
    const type = entry.eax & 0x1f;
    const level = entry.eax >> 5 & 7;
    if (type === 0) continue;
    entry.eax = bits(entry.eax, 0x03ff_c000, (level < 3 ? 0 : lastId) << 14);
    if (entry.function === 4) {
      entry.eax = bits(entry.eax, 0xfc00_0000, lastId << 26);
    }
  }
}

/** Leaves 0xb and 0x1f: a thread level of width 0, then the cores; EDX is the x2APIC id. */
function patchLevels(
  leaves: Leaves,
  { apicId, cpus, idBits }: Topology,
): void {
  const levels = [
    { type: LEVEL_SMT, shift: 0, processors: 1 },
    { type: LEVEL_CORE, shift: idBits, processors: cpus },
  ];
  const lastLeaf = leaves.of(0)[0]?.eax ?? 0;
  for (const leaf of [0xb, 0x1f].filter((leaf) => leaf <= lastLeaf)) {
    const entries = leaves.of(leaf);
    for (const index of [0, 1]) {
      if (entries.some((entry) => entry.index === index)) continue;
      entries.push(leaves.add(leaf, index, KVM_CPUID_FLAG_SIGNIFCANT_INDEX));
    }
    for (const entry of entries) {
      const level = levels[entry.index] ?? NO_LEVEL;
      entry.flags |= KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
      entry.eax = level.shift;
      entry.ebx = level.processors;
      entry.ecx = level.type | entry.index;
      entry.edx = apicId;
    }
  }
}

/** AMD APM volume 3, Fn8000_0008 and Fn8000_001E: the package's cores, and this core's ids. */
function patchAmd(leaves: Leaves, { apicId, cpus, idBits }: Topology): void {
  for (const entry of leaves.of(0x8000_0008)) {
    entry.ecx = bits(entry.ecx, 0xf0ff, idBits << 12 | cpus - 1);
  }
  for (const entry of leaves.of(0x8000_001e)) {
    entry.eax = apicId;
    // The core's id, and no second thread.
    entry.ebx = apicId;
    // Node 0 of one.
    entry.ecx = 0;
  }
}

/** Guests look here for kvmclock and the rest of KVM's interface (Documentation/virt/kvm/x86/cpuid.rst). */
function addSignature(leaves: Leaves): void {
  if (leaves.of(KVM_CPUID_SIGNATURE).length === 0) {
    const entry = leaves.add(KVM_CPUID_SIGNATURE, 0, 0);
    entry.eax = KVM_CPUID_FEATURES;
    // "KVMKVMKVM" and three NULs.
    entry.ebx = 0x4b4d_564b;
    entry.ecx = 0x564b_4d56;
    entry.edx = 0x4d;
  }
  if (leaves.of(KVM_CPUID_FEATURES).length === 0) {
    leaves.add(KVM_CPUID_FEATURES, 0, 0);
  }
}

/** `value` with the bits of `mask` replaced. */
function bits(value: number, mask: number, replacement: number): number {
  return value & ~mask | replacement;
}
