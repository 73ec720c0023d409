// Thread: vcpu
// A vCPU in its thread: its run page, its registers, KVM_RUN. Main owns the fd.
import { HostError } from "../errors.ts";
import { check, errno, libc } from "../sys/libc.ts";
import { EAGAIN, EINTR, MAP_SHARED, PROT_READ_WRITE } from "../sys/linux.ts";
import {
  KVM_GET_REGS,
  KVM_GET_SREGS,
  KVM_RUN,
  KVM_SET_CPUID2,
  KVM_SET_MSRS,
  KVM_SET_REGS,
  KVM_SET_SIGNAL_MASK,
  KVM_SET_SREGS,
  KvmMsrEntry,
  KvmMsrs,
  KvmRegs,
  KvmSignalMask,
  KvmSregs,
} from "./abi.ts";

export class KvmVcpu implements Disposable {
  readonly #page: Deno.PointerObject;
  readonly #size: number;
  readonly #fd: number;
  /** struct kvm_run and the pages behind it (port I/O data). Not to be used after close. */
  readonly run: Uint8Array<ArrayBuffer>;

  /** Maps the run page of the vCPU with this fd; `runSize` is KVM_GET_VCPU_MMAP_SIZE. */
  constructor(fd: number, runSize: number) {
    this.#fd = fd;
    this.#size = runSize;
    const page = libc.mmap(
      null,
      BigInt(runSize),
      PROT_READ_WRITE,
      MAP_SHARED,
      fd,
      0n,
    );
    if (page === null || Deno.UnsafePointer.value(page) === 2n ** 64n - 1n) {
      throw new HostError("The run page of a vCPU cannot be mapped");
    }
    this.#page = page;
    // SAFETY: the view covers exactly the mapping, which only close() takes away.
    this.run = new Uint8Array(
      Deno.UnsafePointerView.getArrayBuffer(page, runSize),
    );
  }

  /** KVM_RUN (api.rst 4.10). False when a signal ended it before the guest asked for anything. */
  enter(): boolean {
    if (libc.ioctl(this.#fd, KVM_RUN, 0) === 0) return true;
    const code = errno();
    if (code === EINTR || code === EAGAIN) return false;
    check("KVM_RUN", -1);
    return false;
  }

  get regs() {
    const regs = new KvmRegs();
    this.#ioctl("KVM_GET_REGS", KVM_GET_REGS, regs.bytes);
    return regs;
  }

  setRegs(regs: InstanceType<typeof KvmRegs>): void {
    this.#ioctl("KVM_SET_REGS", KVM_SET_REGS, regs.bytes);
  }

  get sregs() {
    const sregs = new KvmSregs();
    this.#ioctl("KVM_GET_SREGS", KVM_GET_SREGS, sregs.bytes);
    return sregs;
  }

  setSregs(sregs: InstanceType<typeof KvmSregs>): void {
    this.#ioctl("KVM_SET_SREGS", KVM_SET_SREGS, sregs.bytes);
  }

  /** `table` is a struct kvm_cpuid2 with its entries. */
  setCpuid(table: Uint8Array<ArrayBuffer>): void {
    this.#ioctl("KVM_SET_CPUID2", KVM_SET_CPUID2, table);
  }

  /** Sets MSRs; throws when KVM refuses one. */
  setMsrs(values: ReadonlyArray<readonly [index: number, data: number]>): void {
    const bytes = new Uint8Array(
      KvmMsrs.SIZE + values.length * KvmMsrEntry.SIZE,
    );
    new KvmMsrs(bytes).nmsrs = values.length;
    values.forEach(([index, data], i) => {
      const entry = new KvmMsrEntry(
        bytes.subarray(KvmMsrs.SIZE + i * KvmMsrEntry.SIZE),
      );
      entry.index = index;
      entry.data = data;
    });
    const done = this.#ioctl("KVM_SET_MSRS", KVM_SET_MSRS, bytes);
    if (done !== values.length) {
      throw new HostError(
        `KVM refuses MSR 0x${(values[done]?.[0] ?? 0).toString(16)}`,
      );
    }
  }

  /** Only inside KVM_RUN the thread has this signal mask (api.rst 4.16). */
  setSignalMask(sigset: Uint8Array): void {
    const mask = new KvmSignalMask();
    mask.len = 8;
    mask.sigset = sigset;
    this.#ioctl("KVM_SET_SIGNAL_MASK", KVM_SET_SIGNAL_MASK, mask.bytes);
  }

  #ioctl(
    name: string,
    request: number,
    argument: Uint8Array<ArrayBuffer>,
  ): number {
    return check(name, libc.ioctlPtr(this.#fd, request, argument));
  }

  close(): void {
    // SAFETY: `run` is not used after this: the worker's loop has ended.
    libc.munmap(this.#page, BigInt(this.#size));
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
