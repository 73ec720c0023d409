// A thread that does not come back cannot be ended; it gets what nobody else wants of the processor.

import { assert, assertEquals } from "@std/assert";
import { FakeMachine, inlineModule } from "../../support/fake_machine.ts";

const BUDGET = 1500;
/** Spins for long enough to be looked at. */
const SPINNING = inlineModule(`{
  id: 7,
  queues: { q: 8 },
  create: () => ({ queues: { q({ writable }) {
    writable.write(new Uint8Array([0x55]));
    for (const end = performance.now() + 3000; performance.now() < end;);
    return 0;
  } } }),
}`);

interface Thread {
  readonly tid: number;
  readonly name: string;
  /** Clock ticks that it has had of the processor. */
  readonly ticks: number;
  readonly nice: number;
  readonly policy: number;
}

/** The threads of this process, by fields of proc_pid_stat(5). */
function threads(): Thread[] {
  return [...Deno.readDirSync("/proc/self/task")].flatMap(({ name }) => {
    try {
      const stat = Deno.readTextFileSync(`/proc/self/task/${name}/stat`);
      const rest = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const field = (number: number) => Number(rest[number - 3]);
      return {
        tid: Number(name),
        name: stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")")),
        ticks: field(14) + field(15),
        nice: field(19),
        policy: field(41),
      };
    } catch {
      return []; // It has ended.
    }
  });
}

for (const builtIn of [true, false]) {
  const whose = builtIn ? "A built-in device's" : "A plugin's";
  Deno.test(`${whose} thread that spins has the lowest priority once it is cut off`, async () => {
    await using machine = await FakeMachine.start({
      module: SPINNING,
      builtIn,
      budgetMs: BUDGET,
    });
    await using bystander = await FakeMachine.start({ module: SPINNING });
    const ring = await machine.bringUp();
    ring.add({ at: 0x8000, length: 16, write: true });
    machine.kick();
    await machine.until(() => machine.bytes[0x8000] === 0x55);
    assertEquals(threads().filter(({ nice }) => nice !== 0), []);
    await machine.reset();
    assertEquals(machine.faults.length, 1);

    // What spun for the whole budget, however busy the host is, is the device.
    const workers = threads().filter(({ name }) => name.startsWith("worker-"))
      .sort((a, b) => b.ticks - a.ticks);
    assertEquals([workers[0]!.nice, workers[0]!.policy], [19, 5]);
    assert(workers.some(({ nice, policy }) => nice === 0 && policy === 0));
    for (const { nice, policy, name } of threads()) {
      if (nice !== 0) assertEquals([nice, policy], [19, 5], name);
      else assertEquals(policy, 0, name);
    }
    assertEquals(bystander.faults, []);
    // Until it is done, or it would slow down the test behind.
    const isDone = () => threads().every(({ nice }) => nice === 0);
    await machine.until(isDone, () => "it still spins", 20_000);
  });
}
