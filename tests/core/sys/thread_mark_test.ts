import { assert, assertEquals, assertThrows } from "@std/assert";
import { lowerPriority, startMarked } from "../../../core/sys/thread_mark.ts";

const CODE = `onmessage = () => { postMessage(0); for (;;); };`;

/** A worker that spins until the end. */
async function spin(start: (create: () => Worker) => Worker): Promise<void> {
  const url = `data:text/javascript,${encodeURIComponent(CODE)}`;
  const worker = start(() => new Worker(url, { type: "module" }));
  const answer = Promise.withResolvers<void>();
  worker.onmessage = () => answer.resolve();
  worker.postMessage(0);
  await answer.promise;
}

/** Threads of Deno's come and go. */
function readIfThere(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

/** Nice value of each of Deno's worker threads, the oldest first. */
function workers(): number[] {
  const found: [number: number, nice: number][] = [];
  for (const { name } of Deno.readDirSync("/proc/self/task")) {
    const stat = readIfThere(`/proc/self/task/${name}/stat`);
    const worker = /\(worker-(\d+)\)/.exec(stat)?.[1];
    // The 19th field of proc_pid_stat(5), where the third follows the name.
    const nice = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[16];
    if (worker !== undefined) found.push([Number(worker), Number(nice)]);
  }
  return found.sort((a, b) => a[0] - b[0]).map(([_, nice]) => nice);
}

function blockedSignals(): string {
  const status = Deno.readTextFileSync("/proc/thread-self/status");
  return /^SigBlk:\s*(.*)$/m.exec(status)![1]!;
}

Deno.test("lowerPriority() takes the processor from the threads with a mark, and from no others", async () => {
  const before = blockedSignals();
  const marks: number[] = [];
  const marked = (create: () => Worker) => {
    const { started, mark } = startMarked(create);
    marks.push(mark);
    return started;
  };
  await spin(marked);
  await spin((create) => create());
  await spin(marked);
  assert(marks[0] !== marks[1]);
  assertEquals(blockedSignals(), before);

  assertEquals(workers(), [0, 0, 0]);
  lowerPriority(marks[1]!);
  assertEquals(workers(), [0, 0, 19]);
  lowerPriority(0);
  assertEquals(workers(), [0, 0, 19], "a worker that was not marked");
  lowerPriority(marks[0]!);
  assertEquals(workers(), [19, 0, 19]);
});

Deno.test("startMarked() leaves no mark behind where nothing could be started", () => {
  const before = blockedSignals();
  assertThrows(() =>
    startMarked(() => {
      assert(blockedSignals() !== before);
      throw new RangeError("no");
    }), RangeError);
  assertEquals(blockedSignals(), before);
});
