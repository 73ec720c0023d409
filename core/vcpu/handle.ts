// Thread: main
// A vCPU worker as main sees it: spawn, start, kick, join.
import { kickThread } from "../sys/kick_signal.ts";
import type { VcpuExit, VcpuInit, VcpuMessage } from "./messages.ts";

export class VcpuHandle {
  readonly #worker: Worker;
  readonly #closed = Promise.withResolvers<void>();
  #started = false;
  #joining = false;
  #tid = 0;
  #onExit: (exit: VcpuExit) => void = () => {};
  #onRunning: () => void = () => {};

  /** Starts the thread, which waits for `start`. Blocks main for some 10 ms. */
  constructor() {
    this.#worker = new Worker(new URL("./vcpu_worker.ts", import.meta.url), {
      type: "module",
      name: "vcpu",
    });
    this.#worker.onmessage = (event: MessageEvent<VcpuMessage>) =>
      this.#receive(event.data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#onExit({ reason: "failure", detail: event.message });
      this.#closed.resolve();
    };
  }

  /** Creates the vCPU in its thread and runs it. Each callback comes at most once. */
  start(
    init: VcpuInit,
    onExit: (exit: VcpuExit) => void,
    onRunning: () => void,
  ): void {
    this.#started = true;
    this.#onExit = onExit;
    this.#onRunning = onRunning;
    this.#worker.postMessage(init);
  }

  #receive(message: VcpuMessage): void {
    switch (message.type) {
      case "running":
        this.#tid = message.tid;
        // It may have entered the guest before the run state changed.
        if (this.#joining) this.kick();
        this.#onRunning();
        break;
      case "exit":
        this.#onExit(message.exit);
        break;
      case "closed":
        this.#tid = 0;
        this.#closed.resolve();
        break;
    }
  }

  /** Takes the vCPU out of KVM_RUN, so that it looks at the VM's run state. */
  kick(): void {
    if (this.#tid !== 0) kickThread(this.#tid);
  }

  /** Ends a thread that was never started. */
  abandon(): void {
    if (!this.#started) this.#worker.terminate();
  }

  /** Resolves when the thread has let go of the vCPU. The run state must be STOPPED. */
  async join(): Promise<void> {
    if (this.#started) {
      this.#joining = true;
      this.kick();
      await this.#closed.promise;
    }
    this.#worker.terminate();
  }
}
