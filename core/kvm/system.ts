// Thread: main
// /dev/kvm itself: version, capabilities, the CPUID that the host's KVM supports.
import { HostError, SysError } from "../errors.ts";
import { Fd } from "../sys/fd.ts";
import { check, libc } from "../sys/libc.ts";
import { O_RDWR } from "../sys/linux.ts";
import {
  KVM_API_VERSION,
  KVM_CHECK_EXTENSION,
  KVM_CREATE_VM,
  KVM_GET_API_VERSION,
  KVM_GET_SUPPORTED_CPUID,
  KVM_GET_VCPU_MMAP_SIZE,
  KvmCpuid2,
  KvmCpuidEntry2,
} from "./abi.ts";
import { KvmVm } from "./vm_fd.ts";

// Linux has at most 256 (KVM_MAX_CPUID_ENTRIES).
const MAX_CPUID_ENTRIES = 256;

/** A kvm_cpuid2 with room for more entries than it holds. Plain data, for postMessage. */
export interface CpuidTable {
  /** struct kvm_cpuid2: the header, then MAX_CPUID_ENTRIES entries. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Owns the fd of /dev/kvm. */
export class KvmSystem implements Disposable {
  readonly #fd: Fd;

  /** Opens /dev/kvm; throws a HostError with the remedy when that cannot be. */
  constructor() {
    try {
      this.#fd = Fd.open("/dev/kvm", O_RDWR);
    } catch (cause) {
      throw new HostError(openProblem(cause), { cause });
    }
    const version = this.#ioctl("KVM_GET_API_VERSION", KVM_GET_API_VERSION);
    if (version !== KVM_API_VERSION) {
      this.close();
      throw new HostError(
        `KVM has API version ${version}, Paddock speaks ${KVM_API_VERSION}; update the host's kernel`,
      );
    }
  }

  #ioctl(name: string, request: number, argument = 0): number {
    return check(name, libc.ioctl(this.#fd.fd, request, argument));
  }

  get apiVersion(): number {
    return this.#ioctl("KVM_GET_API_VERSION", KVM_GET_API_VERSION);
  }

  /** The value of a capability; 0 where KVM does not have it. */
  capability(number: number): number {
    return this.#ioctl("KVM_CHECK_EXTENSION", KVM_CHECK_EXTENSION, number);
  }

  /** Bytes to map from a vCPU's fd for struct kvm_run and the pages behind it. */
  get runSize(): number {
    return this.#ioctl("KVM_GET_VCPU_MMAP_SIZE", KVM_GET_VCPU_MMAP_SIZE);
  }

  /** KVM_GET_SUPPORTED_CPUID (api.rst 4.46). */
  supportedCpuid(): CpuidTable {
    const table = new KvmCpuid2(
      new Uint8Array(KvmCpuid2.SIZE + MAX_CPUID_ENTRIES * KvmCpuidEntry2.SIZE),
    );
    table.nent = MAX_CPUID_ENTRIES;
    check(
      "KVM_GET_SUPPORTED_CPUID",
      libc.ioctlPtr(this.#fd.fd, KVM_GET_SUPPORTED_CPUID, table.bytes),
    );
    return { bytes: table.bytes };
  }

  createVm(): KvmVm {
    return new KvmVm(new Fd(this.#ioctl("KVM_CREATE_VM", KVM_CREATE_VM)));
  }

  close(): void {
    this.#fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function openProblem(cause: unknown): string {
  const errno = cause instanceof SysError ? cause.errno : 0;
  if (errno === 2) {
    return "/dev/kvm is not here; load the kvm-intel or kvm-amd module, or switch virtualisation on in the firmware";
  }
  if (errno === 13) {
    return "/dev/kvm may not be opened; add yourself to the kvm group and log in again";
  }
  return `/dev/kvm cannot be opened: ${
    cause instanceof Error ? cause.message : cause
  }`;
}
