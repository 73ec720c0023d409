// `deno run -A --v8-flags=--expose-gc many_vms.ts FROM TO SANDBOX`: starts TO VMs one after another, in a process that
// does nothing else, and prints as JSON what it held after FROM of them and what after all.

import { Vm, type VmOptions } from "../../core/mod.ts";
import { children, hello, readUntil } from "./hello.ts";

/** What a VM could leave behind in the process that started it. */
export interface Possessions {
  /** How many there are of each kind: "anon_inode:kvm-vm", "socket", or a path. */
  readonly fds: Readonly<Record<string, number>>;
  readonly threads: Readonly<Record<string, number>>;
  readonly children: number;
  /** Bytes that are resident once the garbage is collected. */
  readonly rss: number;
}

/** What is printed. */
export interface Report {
  readonly before: Possessions;
  readonly after: Possessions;
  /** How many VMs there were between the two. */
  readonly vms: number;
}

/** What only VMs have; everything else Deno has of its own too. */
const OF_VMS = /kvm|memfd|disk\.img|^worker-/;
/** An ended thread closes its descriptors by itself, and those of Deno's pool end when they were idle for 10 s. */
const SETTLE_MS = 20_000;
/** A slow host makes fewer of them: 200 take 25 s where there is KVM, and minutes in the lab. */
const ENOUGH_MS = 150_000;

/** What there is in a folder of /proc/self, counted by what `kindOf` says of each path. */
function count(
  folder: string,
  kindOf: (path: string) => string,
): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { name } of Deno.readDirSync(`/proc/self/${folder}`)) {
    try {
      const kind = kindOf(`/proc/self/${folder}/${name}`);
      counts[kind] = (counts[kind] ?? 0) + 1;
    } catch (error) {
      // It has gone meanwhile (a thread's files then say ESRCH).
      if (error instanceof Deno.errors.NotFound) continue;
      if (!String(error).includes("os error 3")) throw error;
    }
  }
  return counts;
}

function look(): Possessions {
  return {
    fds: count("fd", (path) => Deno.readLinkSync(path).replace(/\[\d+\]$/, "")),
    threads: count(
      "task",
      (path) => Deno.readTextFileSync(`${path}/comm`).trim(),
    ),
    children: children().length,
    rss: Deno.memoryUsage().rss,
  };
}

/** The first look that `isDone`, or the last one before it takes too long. */
async function lookUntil(
  isDone: (now: Possessions) => boolean,
): Promise<Possessions> {
  const deadline = performance.now() + SETTLE_MS;
  for (;;) {
    const now = look();
    if (isDone(now) || performance.now() > deadline) return now;
    await new Promise((next) => setTimeout(next, 5));
  }
}

function hasNoVm({ fds, threads, children }: Possessions): boolean {
  const kinds = [...Object.keys(fds), ...Object.keys(threads)];
  return children === 0 && !kinds.some((kind) => OF_VMS.test(kind));
}

function noMore(
  now: Readonly<Record<string, number>>,
  before: Readonly<Record<string, number>>,
): boolean {
  return Object.entries(now).every(([kind, n]) => n <= (before[kind] ?? 0));
}

/** Starts a VM, has it do its work, stops it, and waits until nothing of it is there. */
async function cycle(
  i: number,
  disk: string,
  options: VmOptions,
): Promise<void> {
  const devices = [
    { use: "console" },
    { use: "rng", virtio: { kick: "ioeventfd" } },
    ...(i % 5 === 0 ? [{ use: "block", path: disk, size: "64K" }] : []),
  ];
  const vm = await Vm.start(hello(i % 2 ? "exit=spin" : "", devices), options);
  await readUntil(vm.console!.readable, "Goodbye");
  await vm.stop();
  const left = await lookUntil(hasNoVm);
  if (!hasNoVm(left)) throw new Error(`VM ${i} left ${JSON.stringify(left)}`);
}

async function main(
  from: number,
  to: number,
  options: VmOptions,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const disk = `${folder}/disk.img`;
  const { gc } = globalThis as { gc?: () => void };
  for (let i = 0; i < from; i++) await cycle(i, disk, options);
  gc?.();
  const before = look();
  let i = from;
  while (i < to && performance.now() < ENOUGH_MS) {
    await cycle(i++, disk, options);
  }
  gc?.();
  const after = await lookUntil(({ fds, threads }) =>
    noMore(fds, before.fds) && noMore(threads, before.threads)
  );
  await Deno.remove(folder, { recursive: true });
  Deno.stdout.writeSync(
    new TextEncoder().encode(
      JSON.stringify({ before, after, vms: i - from } satisfies Report),
    ),
  );
}

if (import.meta.main) {
  const [from, to, sandbox] = Deno.args;
  await main(Number(from), Number(to), {
    sandbox: sandbox as NonNullable<VmOptions["sandbox"]>,
  });
}
