// A VM's life: pause and resume, stop and kill, many after one another, two at once.

import { assert, assertEquals } from "@std/assert";
import { Vm } from "../../core/mod.ts";
import { hello, readUntil, runToEnd, within } from "./hello.ts";
import { kvmTest } from "./host.ts";

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
  const exits = () => vm.statistics.exits;
  await within(
    5000,
    "The first exits",
    (async () => {
      while (exits() < 1000) await sleep(5);
    })(),
  );
  for (let i = 0; i < 5; i++) {
    await within(2000, "pause()", vm.pause());
    const paused = exits();
    await sleep(50);
    assertEquals(exits(), paused);
    vm.resume();
    await within(
      5000,
      "Exits after resume()",
      (async () => {
        while (exits() < paused + 100) await sleep(5);
      })(),
    );
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

/** What a VM could leave behind in this process. */
function possessions(): { fds: number; threads: number; memory: number } {
  const count = (folder: string) => [...Deno.readDirSync(folder)].length;
  const maps = Deno.readTextFileSync("/proc/self/maps");
  return {
    fds: count("/proc/self/fd"),
    threads: count("/proc/self/task"),
    memory: maps.split("\n").filter((line) => line.includes("/memfd:")).length,
  };
}

kvmTest(
  "Twenty VMs after one another leave no fds, threads or memory behind",
  async () => {
    const devices = [{ use: "console" }, { use: "rng" }];
    const cycle = async (i: number) => {
      const vm = await Vm.start(hello(i % 2 ? "exit=spin" : "", devices));
      await readUntil(vm.console!.readable, "Goodbye");
      await vm.stop();
    };
    // Deno's own threads and files come with the first few.
    for (let i = 0; i < 4; i++) await cycle(i);
    await sleep(200);
    const before = possessions();
    for (let i = 0; i < 20; i++) await cycle(i);
    // Threads of workers end a moment after their VM; those of Deno's pool come and go.
    const most = before.threads + 3;
    let after = possessions();
    for (let i = 0; i < 50 && after.threads > most; i++) {
      await sleep(100);
      after = possessions();
    }
    assert(
      after.fds <= before.fds && after.threads <= most &&
        after.memory <= before.memory,
      `${JSON.stringify(before)} became ${JSON.stringify(after)}`,
    );
  },
);
