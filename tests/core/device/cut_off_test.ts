// A thread that does not come back cannot be ended; it gets what nobody else wants of the processor.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { FakeMachine, inlineModule } from "../../support/fake_machine.ts";

/** Posts what no harness posts, for which it is cut off at once, and goes on for a while. */
const SPINNING = inlineModule(`{
  id: 7,
  queues: { q: 8 },
  create: () => ({ queues: { q() {
    postMessage("nonsense");
    for (const end = performance.now() + 2000; performance.now() < end;);
    return 0;
  } } }),
}`);

interface Thread {
  readonly name: string;
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
        name: stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")")),
        nice: field(19),
        policy: field(41),
      };
    } catch {
      return []; // It has ended.
    }
  });
}

/** Deno's workers, in the order in which they were started. */
function workers(): Thread[] {
  const number = ({ name }: Thread) => Number(/^worker-(\d+)$/.exec(name)?.[1]);
  return threads().filter((thread) => number(thread) > 0)
    .sort((a, b) => number(a) - number(b));
}

for (const builtIn of [true, false]) {
  const whose = builtIn ? "A built-in device's" : "A plugin's";
  Deno.test(`${whose} thread that spins has the lowest priority once it is cut off`, async () => {
    // Those of other tests may not have ended yet.
    const earlier = workers().map(({ name }) => name);
    await using machine = await FakeMachine.start({
      module: SPINNING,
      builtIn,
    });
    await using bystander = await FakeMachine.start({ module: SPINNING });
    const ring = await machine.bringUp();
    ring.add({ at: 0x8000, length: 16, write: true });
    assertEquals(threads().filter(({ nice }) => nice !== 0), []);
    machine.kick();
    await machine.needsReset();
    assertStringIncludes(machine.faults.join(), "not one of the harness");

    const [other, ...spinning] = workers().reverse()
      .filter(({ name }) => !earlier.includes(name));
    assert(spinning.length > 0);
    for (const { nice, policy } of spinning) {
      assertEquals([nice, policy], [19, 5]);
    }
    assertEquals([other!.nice, other!.policy], [0, 0]);
    for (const { name, nice, policy } of threads()) {
      assert(nice === 0 ? policy === 0 : policy === 5, name);
    }
    assertEquals(bystander.faults, []);
    // Until it is done, or it would slow down the test behind.
    const isDone = () => threads().every(({ nice }) => nice === 0);
    await machine.until(isDone, () => "it still spins");
  });
}
