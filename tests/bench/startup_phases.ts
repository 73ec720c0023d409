// `paddock run MANIFEST` with marks on the way, set from outside: prints them on stderr at the end.
import { now } from "./paddock.ts";

const marks: Record<string, number> = { "Deno, to the first statement": now() };
const mark = (name: string) => void (marks[name] ??= now());

const { parseCliArgs } = await import("../../core/cli/args.ts");
await import("../../core/cli/output.ts");
const { run } = await import("../../core/cli/run.ts");
mark("main's modules");

const { KvmSystem } = await import("../../core/kvm/system.ts");
const { KvmVm } = await import("../../core/kvm/vm_fd.ts");
const { VcpuHandle } = await import("../../core/vcpu/handle.ts");

globalThis.Worker = class extends Worker {
  constructor(url: string | URL, options?: WorkerOptions) {
    super(url, options);
    mark("new Worker for the vCPU");
  }
};
/** Sets a mark before or after the first call of a method. */
function watch<Key extends string>(
  owner: Record<Key, (...args: never[]) => unknown>,
  method: Key,
  name: string,
  after = false,
): void {
  const original = owner[method];
  owner[method] = function (this: unknown, ...args) {
    if (!after) mark(name);
    const result = original.apply(this, args);
    if (after) mark(name);
    return result;
  };
}
watch(KvmSystem.prototype, "capability", "manifest and kernel file");
watch(
  KvmVm.prototype,
  "createIrqchip",
  "VM, memory, interrupt controller",
  true,
);
watch(VcpuHandle.prototype, "start", "kernel and tables into RAM");

const args = parseCliArgs(["run", ...Deno.args]);
const status = args.command === "run" ? await run(args) : 2;
Deno.stderr.writeSync(
  new TextEncoder().encode(`${JSON.stringify({ marks })}\n`),
);
Deno.exit(status);
