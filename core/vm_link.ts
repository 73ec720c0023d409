// Thread: main
// A VM in another process, as its owner reaches it: calls, ports, the serial port, its start and its end.
import { ByteChannel } from "./bus/byte_channel.ts";
import { InputWindow } from "./bus/input_window.ts";
import { HostError } from "./errors.ts";
import { log } from "./log.ts";
import type { MachineStatistics } from "./vcpu/vcpu_set.ts";
import type { DevicePort } from "./plugin.ts";
import type { Child } from "./sandbox/child.ts";
import { encodeLine, LONGEST_LINE, readLines } from "./sys/json_lines.ts";
import { SIGKILL } from "./sys/linux.ts";
import { lowerPriority } from "./sys/thread_mark.ts";
import type { EmitVmEvent, VmBackend, VmExit } from "./vm_backend.ts";
import { VmFilter } from "./vm_filter.ts";
import {
  errorOf,
  type FromVm,
  SERIAL_WINDOW,
  type ToVm,
} from "./vm_messages.ts";

/** How long a VM may take to end before its process is killed; its devices have less. */
const END_MS = 30_000;

/** Bytes that wait for a VM which does not read what it is told. */
const MOST_UNSENT = 64 * 2 ** 20;
/** Threads that a VM may have slowed down. */
const MAX_LOWERED = 100;

export class VmLink implements VmBackend {
  readonly #child: Child;
  readonly #emit: EmitVmEvent;
  /** Given back when the process is gone, before anybody hears of the end. */
  readonly #owned: AsyncDisposable;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #ports = new Map<string, DevicePort>();
  readonly #output: ByteChannel;
  readonly #calls = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #loaded = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();
  #exit: VmExit | null = null;
  readonly #filter: VmFilter;
  readonly #lowered = new Set<number>();
  readonly #serialInput: InputWindow;
  #unsent = 0;
  #nextCall = 0;
  readonly serial: VmBackend["serial"];

  constructor(
    child: Child,
    start: ToVm & { type: "start" },
    emit: EmitVmEvent,
    owned: AsyncDisposable,
  ) {
    this.#child = child;
    this.#filter = new VmFilter(start, emit);
    for (const { name } of start.config.devices) {
      this.#ports.set(name, this.#createPort(name));
    }
    this.#owned = owned;
    this.#emit = emit;
    this.#input = child.stdin!.getWriter();
    this.#output = new ByteChannel((length) =>
      this.#send({ type: "serial-taken", length })
    );
    this.#serialInput = new InputWindow((bytes) =>
      this.#send({ type: "serial", bytes })
    );
    const [output, { writable }] = [this.#output, this.#serialInput];
    this.serial = {
      get readable() {
        return output.readable;
      },
      writable,
    };
    this.#listen();
  }

  /** Resolves when its process has loaded all of its code. */
  get loaded(): Promise<void> {
    return this.#loaded.promise;
  }

  /** Resolves when the machine runs; throws what kept it from that. */
  async start(message: ToVm & { type: "start" }): Promise<void> {
    try {
      this.#send(message);
      await this.#ready.promise;
    } catch (error) {
      // It says that it failed, and need not end.
      this.#child.kill(SIGKILL);
      await this.#ended.promise;
      throw error;
    }
  }

  #createPort(device: string): DevicePort {
    return {
      onmessage: null,
      postMessage: (data) => this.#send({ type: "port", device, data }),
    };
  }

  /** Throws what encodeLine does. A VM that is gone hears nothing; its end is told on its own way. */
  #send(message: ToVm): void {
    this.#write(encodeLine(message));
  }

  async #write(line: Uint8Array): Promise<void> {
    try {
      this.#unsent += line.length;
      if (this.#unsent > MOST_UNSENT) this.#child.kill(SIGKILL);
      await this.#input.write(line);
      this.#unsent -= line.length;
    } catch {
      // EPIPE
    }
  }

  async #listen(): Promise<void> {
    let problem = "";
    try {
      for await (const message of readLines(this.#child.stdout!)) {
        this.#receive(this.#filter.check(message));
      }
    } catch (error) {
      problem = ` after it sent something else than messages: ${error}`;
    }
    // One that is not heard any more cannot be let go on.
    this.#child.kill(SIGKILL);
    const { code } = await this.#child.status;
    await this.#owned[Symbol.asyncDispose]();
    this.#finish({
      reason: "failure",
      detail: `its process ended with status ${code}${problem}`,
    });
  }

  #receive(message: FromVm): void {
    switch (message.type) {
      case "ready":
        return this.#ready.resolve();
      case "loaded":
        return this.#loaded.resolve();
      case "failed":
        return this.#ready.reject(errorOf(message.error));
      case "event":
        // All of the process is gone before anybody hears of its end.
        if (message.name === "exit") this.#exit ??= message.detail as VmExit;
        else this.#filter.tell(message.name, message.detail);
        return;
      case "reply": {
        const call = this.#calls.get(message.id);
        this.#calls.delete(message.id);
        if (message.error === undefined) return call?.resolve(message.value);
        return call?.reject(new HostError(message.error));
      }
      case "port":
        this.#filter.mustKnow(message.device);
        return this.#deliver(message.device, message.data);
      case "serial":
        // A VM waits for "serial-taken"; one that was taken over may not.
        if (this.#output.pending > SERIAL_WINDOW + LONGEST_LINE) {
          throw new RangeError("more of the serial port than it may");
        }
        return this.#output.push(message.bytes);
      case "serial-given":
        return this.#serialInput.taken(message.length);
      case "lower-priority": {
        const { mark } = message;
        const isMore = this.#lowered.size < MAX_LOWERED;
        if (!isMore || this.#lowered.has(mark)) return;
        this.#lowered.add(mark);
        return lowerPriority(mark, this.#child.pid);
      }
    }
  }

  /** What the embedder's listener throws is no fault of the VM's. */
  #deliver(device: string, data: unknown): void {
    try {
      this.#ports.get(device)?.onmessage?.(data);
    } catch (error) {
      log("error", device, `a listener of its port failed: ${error}`);
    }
  }

  #finish(exit: VmExit): void {
    this.#output.close();
    this.#serialInput.close();
    this.#ready.reject(
      new HostError(`The VM cannot be started: ${exit.detail}`),
    );
    // Nobody may be waiting for it any more.
    this.#ready.promise.catch(() => {});
    for (const call of this.#calls.values()) {
      call.reject(new HostError("The VM has ended"));
    }
    this.#emit("exit", this.#exit ?? exit);
    this.#ended.resolve();
  }

  #call(
    name: (ToVm & { type: "call" })["name"],
    device = "",
    options: Readonly<Record<string, unknown>> = {},
  ): Promise<unknown> {
    const id = this.#nextCall++;
    const call = Promise.withResolvers<unknown>();
    this.#send({ type: "call", id, name, device, options });
    this.#calls.set(id, call);
    return call.promise;
  }

  port(device: string): DevicePort | undefined {
    return this.#ports.get(device);
  }

  async statistics(): Promise<MachineStatistics> {
    const counted = await this.#call("statistics") as
      | Partial<MachineStatistics>
      | null;
    const { exits, mailed, unassigned } = counted ?? {};
    const all = [exits, mailed, unassigned];
    if (!all.every((value) => Number.isSafeInteger(value))) {
      throw new HostError("The VM's process counts what is no number");
    }
    return { exits, mailed, unassigned } as MachineStatistics;
  }

  async pause(): Promise<void> {
    await this.#call("pause");
  }

  async resume(): Promise<void> {
    await this.#call("resume");
  }

  async reload(
    device: string,
    options: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    await this.#call("reload", device, options);
  }

  async end(exit: VmExit): Promise<void> {
    // It may have stopped reading.
    this.#send({ type: "end", exit });
    const late = setTimeout(() => {
      this.#exit ??= exit;
      this.#child.kill(SIGKILL);
    }, END_MS);
    await this.#ended.promise;
    clearTimeout(late);
  }
}
