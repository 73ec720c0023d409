// A device that hangs in a worker of the VM's process: it is cut off, and what is left of it gives way to all else.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { Vm } from "../../core/vm.ts";
import { children, hello, readUntil, within } from "./hello.ts";
import { kvmTest } from "./host.ts";

const SPINS = new URL("../support/hostile/mod.ts", import.meta.url).href;

/** The nice values and policies of a process's threads. */
function priorities(pid: number): [nice: number, policy: number][] {
  return [...Deno.readDirSync(`/proc/${pid}/task`)].flatMap(({ name }) => {
    try {
      const stat = Deno.readTextFileSync(`/proc/${pid}/task/${name}/stat`);
      // proc_pid_stat(5): the third field follows the name.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return [[Number(fields[19 - 3]), Number(fields[41 - 3])]];
    } catch {
      return []; // It has ended.
    }
  });
}

for (const sandbox of ["strict", "off"] as const) {
  kvmTest(
    `A device that spins has the lowest priority once it is cut off (sandbox: ${sandbox})`,
    async () => {
      const devices = [
        { use: "console" },
        { use: SPINS, name: "spins", isolation: "worker" },
      ];
      await using vm = await Vm.start(hello("exit=spin", devices), { sandbox });
      await within(
        60_000,
        "The guest",
        readUntil(vm.console!.readable, "Goodbye"),
      );
      const faults: string[] = [];
      vm.on("devicefault", ({ message }) => faults.push(message));
      const pids = [Deno.pid, ...children()];
      const lowered = () =>
        pids.flatMap(priorities).filter(([nice]) => nice !== 0);
      assertEquals(lowered(), []);

      vm.port("spins")!.postMessage("spin");
      // Each device is told of a pause; this one does not answer from when it has heard of the other.
      const giveUp = performance.now() + 60_000;
      while (faults.length === 0 && performance.now() < giveUp) {
        await within(30_000, "pause()", vm.pause());
        vm.resume();
      }
      assertMatch(faults.join(), /did not answer in 10 s/);
      const deadline = performance.now() + 5000;
      while (lowered().length === 0 && performance.now() < deadline) {
        await new Promise((go) => setTimeout(go, 20));
      }
      assert(lowered().length > 0);
      for (const each of lowered()) assertEquals(each, [19, 5]);
      await within(30_000, "stop()", vm.stop());
    },
  );
}
