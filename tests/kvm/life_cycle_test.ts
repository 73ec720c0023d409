// A VM's life: pause and resume, stop and kill, many after one another, two at once.

import { assert, assertEquals } from "@std/assert";
import { Vm } from "../../core/mod.ts";
import { hello, readUntil, ROOT, runToEnd, within } from "./hello.ts";
import { kvmTest } from "./host.ts";
import type { Report } from "./many_vms.ts";

/** What is resident varies by this much, and a bare Deno keeps some 20 KiB of five workers that have ended. */
const RSS_NOISE = 8 * 2 ** 20;
const RSS_PER_VM = 40 * 2 ** 10;

const sleep = (ms: number) => new Promise((next) => setTimeout(next, ms));

/** Starts a guest and returns when it has said all it has to say. */
async function startEnding(ending: string): Promise<Vm> {
  const vm = await Vm.start(hello(`exit=${ending}`));
  await within(10_000, "The guest", readUntil(vm.console!.readable, "Goodbye"));
  return vm;
}

kvmTest("A paused VM makes no exits, a resumed one goes on", async () => {
  // Writes to a register without an end in sight.
  await using vm = await Vm.start(hello("bench=mmio3:1000000000"));
  const exits = async () => (await vm.statistics()).exits;
  const passes = async (count: number) => {
    while (await exits() < count) await sleep(5);
  };
  await within(5000, "The first exits", passes(1000));
  for (let i = 0; i < 5; i++) {
    await within(2000, "pause()", vm.pause());
    const paused = await exits();
    await sleep(50);
    assertEquals(await exits(), paused);
    vm.resume();
    await within(5000, "Exits after resume()", passes(paused + 100));
  }
});

kvmTest(
  "pause() and resume() may be repeated, and stop() ends a paused VM",
  async () => {
    await using vm = await startEnding("spin");
    vm.resume();
    await within(2000, "pause()", Promise.all([vm.pause(), vm.pause()]));
    await within(2000, "The second pause()", vm.pause());
    await within(5000, "stop()", vm.stop());
    assertEquals((await vm.wait()).reason, "stopped");
  },
);

for (const ending of ["spin", "hang"]) {
  kvmTest(`stop() and kill() end a guest with exit=${ending}`, async () => {
    const stopped = await startEnding(ending);
    await within(5000, "stop()", stopped.stop());
    assertEquals((await stopped.wait()).reason, "stopped");
    const killed = await startEnding(ending);
    await within(5000, "kill()", killed.kill());
    assertEquals((await killed.wait()).reason, "killed");
  });

  kvmTest(`A guest with exit=${ending} can be paused and resumed`, async () => {
    await using vm = await startEnding(ending);
    for (let i = 0; i < 20; i++) {
      await within(2000, "pause()", vm.pause());
      vm.resume();
    }
  });
}

kvmTest("The first reason of an end stands", async () => {
  const vm = await startEnding("spin");
  const ends = [vm.kill(), vm.stop(), vm.stop()];
  await within(5000, "The end", Promise.all(ends));
  assertEquals((await vm.wait()).reason, "killed");
});

kvmTest("stop() right after the start ends the VM", async () => {
  const vm = await Vm.start(hello("exit=spin"));
  await within(5000, "stop()", vm.stop());
  assertEquals((await vm.wait()).reason, "stopped");
});

kvmTest("Two VMs run at once in one process", async () => {
  const spinning = await startEnding("spin");
  const other = await Vm.start(hello("exit=reboot"));
  assertEquals(
    (await within(10_000, "The other", other.wait())).reason,
    "reboot",
  );
  await spinning.stop();
  const both = await Promise.all([
    runToEnd(hello()),
    runToEnd(hello("serial")),
  ]);
  assertEquals(both.map(({ exit }) => exit.reason), ["poweroff", "poweroff"]);
});

/** What a process holds after some VMs, and after all of them. */
async function runMany(
  from: number,
  to: number,
  sandbox: string,
): Promise<Report> {
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      // V8 and malloc keep what they once took; with these what is resident says what is in use.
      "--v8-flags=--expose-gc,--max-semi-space-size=1",
      `${ROOT}tests/kvm/many_vms.ts`,
      ...[from, to, sandbox].map(String),
    ],
    env: { MALLOC_ARENA_MAX: "1" },
    stdin: "null",
    stderr: "inherit",
  }).output();
  assert(success);
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** Entries of `after` that `before` has fewer of. */
function grown(
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): string[] {
  return Object.entries(after).filter(([kind, n]) => n > (before[kind] ?? 0))
    .map(([kind, n]) => `${kind}: ${before[kind] ?? 0} became ${n}`);
}

for (
  const [name, from, to, sandbox] of [
    ["Two hundred VMs after one another in one process", 50, 200, "off"],
    ["Twenty VMs after one another in processes of their own", 5, 20, "strict"],
  ] as const
) {
  kvmTest(`${name} leave no fds, threads or memory behind`, async () => {
    const { before, after, vms } = await runMany(from, to, sandbox);
    // In the lab, where each takes seconds, as many as there is time for.
    if (Deno.env.has("PADDOCK_LAB")) assert(vms > 0);
    else assertEquals(vms, to - from);
    assertEquals(grown(before.fds, after.fds), []);
    assertEquals(grown(before.threads, after.threads), []);
    const growth = after.rss - before.rss;
    assert(
      growth < RSS_NOISE + vms * RSS_PER_VM,
      `${growth} bytes more are resident after ${vms} VMs`,
    );
  });
}
