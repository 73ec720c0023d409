// Thread: main
// A VM's fd: memory slots, the in-kernel interrupt controllers and timer, irqfds.
import type { GuestMemory } from "../memory/guest_memory.ts";
import { KVM_IDENTITY_MAP, KVM_TSS } from "../memory/layout.ts";
import { Fd } from "../sys/fd.ts";
import { check, libc } from "../sys/libc.ts";
import {
  KVM_CREATE_IRQCHIP,
  KVM_CREATE_PIT2,
  KVM_CREATE_VCPU,
  KVM_IOEVENTFD,
  KVM_IOEVENTFD_FLAG_DATAMATCH,
  KVM_IOEVENTFD_FLAG_DEASSIGN,
  KVM_IRQFD,
  KVM_PIT_SPEAKER_DUMMY,
  KVM_SET_IDENTITY_MAP_ADDR,
  KVM_SET_TSS_ADDR,
  KVM_SET_USER_MEMORY_REGION,
  KvmIoeventfd,
  KvmIrqfd,
  KvmPitConfig,
  KvmUserspaceMemoryRegion,
} from "./abi.ts";

/** Owns a VM's fd. KVM keeps the VM alive until its vCPUs' fds are closed too. */
export class KvmVm implements Disposable {
  readonly #fd: Fd;
  constructor(fd: Fd) {
    this.#fd = fd;
  }

  /**
   * Creates vCPU `index`. All come before the first one runs: KVM drops an INIT or SIPI for one that is not there.
   * Close the fd when its worker has ended.
   */
  createVcpu(index: number): Fd {
    return new Fd(
      check(
        "KVM_CREATE_VCPU",
        libc.ioctl(this.#fd.fd, KVM_CREATE_VCPU, index),
      ),
    );
  }

  /** Registers RAM, one slot a region. Before the irqchip: that order costs 1 ms, the other 10. */
  setMemory(memory: GuestMemory): void {
    memory.regions.forEach((region, slot) => {
      const argument = new KvmUserspaceMemoryRegion();
      argument.slot = slot;
      argument.guest_phys_addr = region.gpa;
      argument.memory_size = region.size;
      // SAFETY: `memory` outlives this VM (vm.ts closes it last), so the address stays mapped.
      argument.userspace_addr = memory.hostAddress + region.offset;
      this.#ioctlPtr(
        "KVM_SET_USER_MEMORY_REGION",
        KVM_SET_USER_MEMORY_REGION,
        argument.bytes,
      );
    });
  }

  /** PIC, IOAPIC and local APICs in the kernel; must come before the first vCPU. */
  createIrqchip(): void {
    const identityMap = new BigUint64Array([BigInt(KVM_IDENTITY_MAP)]);
    this.#ioctlPtr(
      "KVM_SET_IDENTITY_MAP_ADDR",
      KVM_SET_IDENTITY_MAP_ADDR,
      new Uint8Array(identityMap.buffer),
    );
    check(
      "KVM_SET_TSS_ADDR",
      libc.ioctl(this.#fd.fd, KVM_SET_TSS_ADDR, KVM_TSS),
    );
    check("KVM_CREATE_IRQCHIP", libc.ioctl(this.#fd.fd, KVM_CREATE_IRQCHIP, 0));
  }

  createPit(): void {
    const config = new KvmPitConfig();
    config.flags = KVM_PIT_SPEAKER_DUMMY;
    this.#ioctlPtr("KVM_CREATE_PIT2", KVM_CREATE_PIT2, config.bytes);
  }

  /** From now on a write to `eventFd` is an edge on `gsi` (api.rst 4.75). */
  assignIrqfd(eventFd: Fd, gsi: number): void {
    const argument = new KvmIrqfd();
    argument.fd = eventFd.fd;
    argument.gsi = gsi;
    this.#ioctlPtr("KVM_IRQFD", KVM_IRQFD, argument.bytes);
  }

  /** From now on a 4-byte write of `value` to `address` adds to `eventFd` without an exit (api.rst 4.59). */
  assignIoeventfd(eventFd: Fd, address: number, value: number): void {
    this.#ioeventfd(eventFd, address, value, KVM_IOEVENTFD_FLAG_DATAMATCH);
  }

  deassignIoeventfd(eventFd: Fd, address: number, value: number): void {
    const flags = KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_DEASSIGN;
    this.#ioeventfd(eventFd, address, value, flags);
  }

  #ioeventfd(fd: Fd, address: number, value: number, flags: number): void {
    const argument = new KvmIoeventfd();
    argument.fd = fd.fd;
    argument.addr = address;
    argument.len = 4;
    argument.datamatch = value;
    argument.flags = flags;
    this.#ioctlPtr("KVM_IOEVENTFD", KVM_IOEVENTFD, argument.bytes);
  }

  #ioctlPtr(
    name: string,
    request: number,
    argument: Uint8Array<ArrayBuffer>,
  ): void {
    check(name, libc.ioctlPtr(this.#fd.fd, request, argument));
  }

  close(): void {
    this.#fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
