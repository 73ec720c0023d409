// Thread: vcpu
// A vCPU: KVM_RUN, exit decoding, and the access router, in a thread that blocks in nothing else.
import { patchCpuid } from "../arch/x86_64/cpuid.ts";
import { setBootMsrs, setEntry } from "../arch/x86_64/registers.ts";
import { Mailbox } from "../bus/mailbox.ts";
import { SerialPort } from "../bus/serial.ts";
import {
  EXITS,
  MMIO,
  parkWhilePaused,
  PIO,
  ringDoorbell,
  RUN_STATE,
  RUNNING,
  slotOf,
  type Words,
} from "../bus/vm_page.ts";
import {
  KVM_EXIT_FAIL_ENTRY,
  KVM_EXIT_HLT,
  KVM_EXIT_INTERNAL_ERROR,
  KVM_EXIT_INTR,
  KVM_EXIT_IO,
  KVM_EXIT_IO_IN,
  KVM_EXIT_MMIO,
  KVM_EXIT_SHUTDOWN,
  KVM_EXIT_SYSTEM_EVENT,
  KvmRun,
  KvmRunInternal,
  KvmRunIo,
  KvmRunMmio,
} from "../kvm/abi.ts";
import { KvmVcpu } from "../kvm/vcpu_fd.ts";
import { signalEventFd } from "../sys/fd.ts";
import { acceptKicks, drainKicks, runSignalMask } from "../sys/kick_signal.ts";
import { workerScope } from "../sys/worker_scope.ts";
import { wordsOf } from "../virtio/device_page.ts";
import { AccessRouter } from "./access.ts";
import type { VcpuExit, VcpuInit, VcpuMessage } from "./messages.ts";

// Offsets into struct kvm_run.
const EXIT_REASON = KvmRun.OFFSET.exit_reason;
const UNION = KvmRun.OFFSET.exit;
const MMIO_ADDRESS = (UNION + KvmRunMmio.OFFSET.phys_addr) / 4;
const MMIO_DATA = (UNION + KvmRunMmio.OFFSET.data) / 4;
const MMIO_LENGTH = (UNION + KvmRunMmio.OFFSET.len) / 4;
const MMIO_IS_WRITE = UNION + KvmRunMmio.OFFSET.is_write;
const IO_DIRECTION = UNION + KvmRunIo.OFFSET.direction;
const IO_SIZE = UNION + KvmRunIo.OFFSET.size;
const IO_PORT = (UNION + KvmRunIo.OFFSET.port) / 2;
const IO_COUNT = (UNION + KvmRunIo.OFFSET.count) / 4;
const IO_DATA_OFFSET = (UNION + KvmRunIo.OFFSET.data_offset) / 4;
const SUBERROR = (UNION + KvmRunInternal.OFFSET.suberror) / 4;
const NDATA = (UNION + KvmRunInternal.OFFSET.ndata) / 4;
const INTERNAL_DATA = (UNION + KvmRunInternal.OFFSET.data) / 4;

const scope = workerScope<VcpuInit, VcpuMessage>();

class VcpuLoop {
  readonly #vcpu: KvmVcpu;
  readonly #words: Words;
  readonly #exits: number;
  readonly #router: AccessRouter;
  readonly #run8: Uint8Array<ArrayBuffer>;
  readonly #run16: Uint16Array<ArrayBuffer>;
  readonly #run32: Uint32Array<ArrayBuffer>;

  constructor(vcpu: KvmVcpu, init: VcpuInit) {
    this.#vcpu = vcpu;
    const words: Words = new Int32Array(init.vmPage);
    this.#words = words;
    this.#exits = slotOf(init.index) + EXITS;
    this.#run8 = vcpu.run;
    this.#run16 = new Uint16Array(vcpu.run.buffer);
    this.#run32 = new Uint32Array(vcpu.run.buffer);
    this.#router = new AccessRouter({
      vcpu: init.index,
      words,
      mailbox: new Mailbox(words, init.index),
      serial: new SerialPort(init.serialPage, {
        interrupt: () => signalEventFd(init.serialEventFd),
        wakeMain: () => ringDoorbell(words),
      }),
      devices: init.devicePages.map(wordsOf),
      views: [init.mmio, init.pio],
    });
  }

  /** Runs the guest until the VM stops; returns what ended it when that was this vCPU. */
  loop(): VcpuExit | null {
    for (;;) {
      if (Atomics.load(this.#words, RUN_STATE) !== RUNNING) {
        if (!parkWhilePaused(this.#words)) return null;
        continue; // it may have been paused again meanwhile
      }
      if (!this.#vcpu.enter()) {
        drainKicks();
        continue;
      }
      this.#words[this.#exits]! += 1;
      const reason = this.#run32[EXIT_REASON / 4]!;
      if (reason === KVM_EXIT_MMIO) {
        if (!this.#mmio()) return null;
      } else if (reason === KVM_EXIT_IO) {
        if (!this.#io()) return null;
      } else if (reason !== KVM_EXIT_INTR) {
        return this.#describe(reason);
      }
    }
  }

  #mmio(): boolean {
    const run32 = this.#run32;
    const router = this.#router;
    const address = run32[MMIO_ADDRESS]! + run32[MMIO_ADDRESS + 1]! * 2 ** 32;
    const isWrite = this.#run8[MMIO_IS_WRITE]!;
    router.low = run32[MMIO_DATA]!;
    router.high = run32[MMIO_DATA + 1]!;
    if (!router.access(MMIO, address, run32[MMIO_LENGTH]!, isWrite)) {
      return false;
    }
    if (isWrite === 0) {
      run32[MMIO_DATA] = router.low;
      run32[MMIO_DATA + 1] = router.high;
    }
    return true;
  }

  /** Port I/O; a string instruction brings up to a page of accesses in one exit. */
  #io(): boolean {
    const size = this.#run8[IO_SIZE]!;
    const count = this.#run32[IO_COUNT]!;
    const start = this.#run32[IO_DATA_OFFSET]!;
    const router = this.#router;
    const port = this.#run16[IO_PORT]!;
    const isRead = this.#run8[IO_DIRECTION]! === KVM_EXIT_IO_IN;
    for (let i = 0, at = start; i < count; i++, at += size) {
      router.low = router.high = 0;
      if (!isRead) {
        for (let b = 0; b < size; b++) {
          router.low |= this.#run8[at + b]! << (8 * b);
        }
      }
      if (!router.access(PIO, port, size, isRead ? 0 : 1)) return false;
      if (isRead) {
        for (let b = 0; b < size; b++) {
          this.#run8[at + b] = router.low >>> (8 * b);
        }
      }
    }
    return true;
  }

  #describe(reason: number): VcpuExit {
    switch (reason) {
      case KVM_EXIT_SHUTDOWN:
        return {
          reason: "triple-fault",
          detail: `triple fault at rip ${this.#rip()}`,
        };
      case KVM_EXIT_INTERNAL_ERROR:
        return { reason: "internal-error", detail: this.#internalError() };
      case KVM_EXIT_FAIL_ENTRY:
        return {
          reason: "entry-failed",
          detail: `hardware refused the vCPU's state: 0x${
            this.#run32[UNION / 4]!.toString(16)
          }`,
        };
      case KVM_EXIT_SYSTEM_EVENT:
        return {
          reason: "system-event",
          detail: `system event ${this.#run32[SUBERROR]!}`,
        };
      case KVM_EXIT_HLT:
        return {
          reason: "unexpected-exit",
          detail: "halted outside the interrupt controller",
        };
      default:
        return { reason: "unexpected-exit", detail: `exit reason ${reason}` };
    }
  }

  /** KVM_INTERNAL_ERROR_EMULATION brings the instruction that it could not emulate (api.rst 5, kvm_run). */
  #internalError(): string {
    const suberror = this.#run32[SUBERROR]!;
    const ndata = Math.min(this.#run32[NDATA]!, 16);
    const bytes = this.#run8.subarray(
      INTERNAL_DATA * 4,
      INTERNAL_DATA * 4 + ndata * 8,
    );
    const hex = Array.from(
      bytes.subarray(0, 32),
      (byte) => byte.toString(16).padStart(2, "0"),
    ).join(" ");
    return `KVM internal error ${suberror} at rip ${this.#rip()}${
      hex ? `, data ${hex}` : ""
    }`;
  }

  #rip(): string {
    return `0x${this.#vcpu.regs.rip.toString(16)}`;
  }
}

function run(init: VcpuInit): VcpuExit | null {
  using vcpu = new KvmVcpu(init.vcpuFd, init.runSize);
  patchCpuid(init.cpuid, init.index, init.cpus);
  vcpu.setCpuid(init.cpuid);
  setBootMsrs(vcpu);
  if (init.entry !== null) setEntry(vcpu, init.entry);
  const tid = acceptKicks();
  vcpu.setSignalMask(runSignalMask());
  scope.postMessage({ type: "running", tid });
  return new VcpuLoop(vcpu, init).loop();
}

scope.onmessage = ({ data }) => {
  try {
    const exit = run(data);
    if (exit !== null) scope.postMessage({ type: "exit", exit });
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    scope.postMessage({ type: "exit", exit: { reason: "failure", detail } });
  }
  scope.postMessage({ type: "closed" });
  scope.close();
};
