// Thread: main
// The vCPUs of a VM as one: started, counted, parked, let go on, stopped.
import {
  EXITS,
  MAILED,
  PARKED,
  PAUSED,
  RUN_STATE,
  RUNNING,
  slotOf,
  STOPPED,
  UNASSIGNED,
  type Words,
} from "../bus/vm_page.ts";
import { VcpuHandle } from "./handle.ts";
import type { VcpuExit, VcpuInit } from "./messages.ts";

export interface VcpuEvents {
  /** vCPU 0 is about to run its first instruction. */
  onRunning(): void;
  onVcpuExit(vcpu: number, exit: VcpuExit): void;
}

/** Counters over all vCPUs, since the start. */
export interface MachineStatistics {
  /** Exits from KVM_RUN. */
  readonly exits: number;
  /** Accesses that went through the core event loop. */
  readonly mailed: number;
  /** Accesses where nothing is assigned. */
  readonly unassigned: number;
}

/** A vCPU that waits for a withheld register access is looked at again this often. */
const PARK_LOOK_MS = 10;

export class VcpuSet {
  readonly #words: Words;
  readonly #handles: VcpuHandle[];

  /** Takes over vCPU 0's thread. `words` are the VM page's. */
  constructor(words: Words, vcpu0: VcpuHandle) {
    this.#words = words;
    this.#handles = [vcpu0];
  }

  /** Runs the next vCPU, 0 first. */
  start(init: VcpuInit, events: VcpuEvents): void {
    const { index } = init;
    const handle = this.#handles[index] ??= new VcpuHandle();
    handle.start(
      init,
      (exit) => events.onVcpuExit(index, exit),
      () => index === 0 && events.onRunning(),
    );
  }

  get statistics(): MachineStatistics {
    const sum = (word: number) =>
      this.#handles.reduce(
        (all, _, i) => all + this.#words[slotOf(i) + word]!,
        0,
      );
    return {
      exits: sum(EXITS),
      mailed: sum(MAILED),
      unassigned: sum(UNASSIGNED),
    };
  }

  /** Resolves when none runs; to false where the VM was stopped or is let go on meanwhile. */
  async park(): Promise<boolean> {
    const words = this.#words;
    const isPaused = () => Atomics.load(words, RUN_STATE) === PAUSED;
    if (
      Atomics.compareExchange(words, RUN_STATE, RUNNING, PAUSED) !== RUNNING
    ) {
      return isPaused();
    }
    for (;;) {
      const parked = Atomics.load(words, PARKED);
      if (parked === this.#handles.length || !isPaused()) return isPaused();
      for (const vcpu of this.#handles) vcpu.kick();
      const turn = Atomics.waitAsync(words, PARKED, parked, PARK_LOOK_MS);
      if (turn.async) await turn.value;
    }
  }

  resume(): void {
    Atomics.compareExchange(this.#words, RUN_STATE, PAUSED, RUNNING);
    Atomics.notify(this.#words, RUN_STATE);
  }

  /** For good; resolves when their threads have ended. */
  async stop(): Promise<void> {
    Atomics.store(this.#words, RUN_STATE, STOPPED);
    Atomics.notify(this.#words, RUN_STATE);
    await Promise.all(this.#handles.map((vcpu) => vcpu.join()));
  }
}
