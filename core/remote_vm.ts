// Thread: main
// A VM in a process of its own, closed off from everything that its manifest does not grant.
import { ByteChannel } from "./bus/byte_channel.ts";
import { type DeviceError, HostError } from "./errors.ts";
import { fillEmitCache } from "./emit_cache.ts";
import { log } from "./log.ts";
import type { MachineStatistics } from "./machine.ts";
import type { VmConfig } from "./manifest/config.ts";
import { RateLimit } from "./device/rate_limit.ts";
import type { DevicePort } from "./plugin.ts";
import { prepareVm } from "./prepare_vm.ts";
import type { Child } from "./sandbox/child.ts";
import {
  coolSpawn,
  type SandboxLevel,
  spawnConfined,
  warmSpawn,
} from "./sandbox/spawn.ts";
import {
  denoFlags,
  grantedEnvironment,
  vmPermissions,
  vmRules,
} from "./sandbox/vm_permissions.ts";
import { eachLine } from "./sys/text_lines.ts";
import { encodeLine, readLines } from "./sys/json_lines.ts";
import { lowerPriority } from "./sys/thread_mark.ts";
import type {
  EmitVmEvent,
  VmBackend,
  VmEvents,
  VmExit,
  VmStarter,
} from "./vm_backend.ts";
import {
  errorOf,
  type FromVm,
  isFromVm,
  LONGEST,
  type PlainError,
  SERIAL_WINDOW,
  type ToVm,
} from "./vm_messages.ts";

/** How long a VM may take to end before its process is killed; its devices have less. */
const END_MS = 30_000;

/** Bytes that wait for a VM which does not read what it is told. */
const MOST_UNSENT = 64 * 2 ** 20;
const SIGKILL = 9;
/** Lines that it prints, and threads to slow down, in a second: what a VM needs, and no load for its owner. */
const MAX_LINES = 100;
const MAX_LOWERED = 10;

/** What the host could not do is told once a process. */
let told = false;

export function remoteStarter(sandbox: SandboxLevel): VmStarter {
  if (sandbox === "strict") warmSpawn();
  return {
    abandon: coolSpawn,
    async start(config, emit, options) {
      await using stack = new AsyncDisposableStack();
      const folder = await Deno.makeTempDir({ prefix: "paddock-" });
      // Somebody who tidies up may have been faster.
      stack.defer(() =>
        Deno.remove(folder, { recursive: true }).catch(() => {})
      );
      stack.defer(coolSpawn);
      const prepared = await prepareVm(config, folder, options);
      const child = stack.use(await spawnVm(prepared, sandbox));
      tell(child.missing);
      // Nothing is printed there unless V8 or Deno gives up.
      const lines = new RateLimit(MAX_LINES);
      eachLine(child.stderr!, (line) => {
        if (lines.take()) log("error", "vm", line);
      });
      const vm = new RemoteVm(child, emit, stack.move());
      await vm.start({
        type: "start",
        config: prepared,
        trace: options.trace ?? [],
      });
      fillEmitCache();
      return vm;
    },
  };
}

function spawnVm(config: VmConfig, sandbox: SandboxLevel): Promise<Child> {
  const permissions = vmPermissions(config, {
    manifest: undefined,
    cache: undefined,
  });
  return spawnConfined({
    sandbox,
    entry: new URL("./vm_process.ts", import.meta.url),
    permissions: denoFlags(permissions),
    env: grantedEnvironment(permissions),
    landlock: vmRules(permissions),
    seccomp: {
      run: permissions.run.length > 0,
      sockets: socketsFor(config, permissions.net),
    },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  });
}

/** Whoever may make a unix socket may connect to any that the user may: Landlock does not look at paths there. */
function socketsFor(
  { devices }: VmConfig,
  net: readonly string[],
): "none" | "unix" | "inet" {
  if (net.length > 0) return "inet";
  return devices.some(({ backEnd }) => backEnd !== undefined) ? "unix" : "none";
}

function tell(missing: readonly string[]): void {
  if (told || missing.length === 0) return;
  told = true;
  log(
    "warning",
    "sandbox",
    `this host cannot confine all: ${missing.join("; ")}`,
  );
}

class RemoteVm implements VmBackend {
  readonly #child: Child;
  readonly #emit: EmitVmEvent;
  /** Given back when the process is gone, before anybody hears of the end. */
  readonly #owned: AsyncDisposable;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #ports = new Map<string, DevicePort>();
  readonly #output: ByteChannel;
  readonly #calls = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();
  #exit: VmExit | null = null;
  readonly #lowered = new RateLimit(MAX_LOWERED);
  #unsent = 0;
  #nextCall = 0;
  readonly serial: VmBackend["serial"];

  constructor(child: Child, emit: EmitVmEvent, owned: AsyncDisposable) {
    this.#child = child;
    this.#owned = owned;
    this.#emit = emit;
    this.#input = child.stdin!.getWriter();
    this.#output = new ByteChannel((length) =>
      this.#send({ type: "serial-taken", length })
    );
    const output = this.#output;
    this.serial = {
      get readable() {
        return output.readable;
      },
      writable: new WritableStream({
        write: (bytes) => this.#send({ type: "serial", bytes }),
      }),
    };
    this.#listen();
  }

  /** Resolves when the machine runs; throws what kept it from that. */
  async start(message: ToVm & { type: "start" }): Promise<void> {
    for (const { name } of message.config.devices) {
      this.#ports.set(name, this.#createPort(name));
    }
    this.#send(message);
    try {
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
      postMessage: (data) => void this.#send({ type: "port", device, data }),
    };
  }

  /** A VM that is gone hears nothing; its end is told on its own way. */
  async #send(message: ToVm): Promise<void> {
    try {
      const line = encodeLine(message);
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
      for await (const message of readLines(this.#child.stdout!, LONGEST)) {
        if (!isFromVm(message)) throw new TypeError("no message of a VM");
        this.#receive(message);
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
      case "failed":
        return this.#ready.reject(errorOf(message.error));
      case "event":
        return this.#tell(message.name, message.detail);
      case "reply": {
        const call = this.#calls.get(message.id);
        this.#calls.delete(message.id);
        if (message.error === undefined) return call?.resolve(message.value);
        return call?.reject(new HostError(message.error));
      }
      case "port":
        return this.#deliver(message.device, message.data);
      case "serial":
        // A VM waits for "serial-taken"; one that was taken over may not.
        if (this.#output.pending > SERIAL_WINDOW + LONGEST) {
          throw new RangeError("more of the serial port than it may");
        }
        return this.#output.push(message.bytes);
      case "lower-priority":
        if (!this.#lowered.take()) return;
        return lowerPriority(message.mark, this.#child.pid);
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

  /** isFromVm() has looked at the detail. */
  #tell(name: keyof VmEvents, detail: unknown): void {
    switch (name) {
      case "exit":
        // All of the process is gone before anybody hears of it.
        this.#exit ??= detail as VmExit;
        return;
      case "devicefault":
        return this.#emit(name, errorOf(detail as PlainError) as DeviceError);
      default:
        return this.#emit(name, detail as never);
    }
  }

  #finish(exit: VmExit): void {
    this.#output.close();
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
  ): Promise<unknown> {
    const id = this.#nextCall++;
    const call = Promise.withResolvers<unknown>();
    this.#calls.set(id, call);
    this.#send({ type: "call", id, name, device });
    return call.promise;
  }

  port(device: string): DevicePort | undefined {
    return this.#ports.get(device);
  }

  async statistics(): Promise<MachineStatistics> {
    return await this.#call("statistics") as MachineStatistics;
  }

  async pause(): Promise<void> {
    await this.#call("pause");
  }

  async resume(): Promise<void> {
    await this.#call("resume");
  }

  async reload(device: string): Promise<void> {
    await this.#call("reload", device);
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
