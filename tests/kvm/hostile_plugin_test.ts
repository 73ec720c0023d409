// A plugin that attacks: what it tries is refused, or costs its own process; the VM goes on.

import { assertEquals, assertMatch } from "@std/assert";
import { Vm } from "../../core/vm.ts";
import { hello, readUntil, within } from "./hello.ts";
import { kvmTest } from "./host.ts";
import { until } from "../support/wait.ts";

const MODULE = new URL("../support/hostile/mod.ts", import.meta.url).href;

/** Its worker has no permission: Deno refuses. `layers` behind that are tests/core/sandbox's. */
const REFUSED: Readonly<Record<string, RegExp>> = {
  "read a file": /NotCapable: Requires read access/,
  "read its own folder": /NotCapable: Requires read access/,
  "follow a symlink": /NotCapable: Requires (all|read) access/,
  "import a file": /Requires read access/,
  "import from the web": /Requires import access|cached-only/,
  "write a file": /NotCapable: Requires write access/,
  "open a socket": /NotCapable: Requires net access/,
  "listen": /NotCapable: Requires net access/,
  "fetch": /NotCapable: Requires net access/,
  "spawn": /NotCapable: Requires run access/,
  "load a library": /NotCapable: Requires ffi access/,
  "make a pointer": /NotCapable: Requires ffi access/,
  "read the environment": /NotCapable: Requires env access/,
  "ask for the host's name": /NotCapable: Requires sys access/,
  "signal the parent": /NotCapable: Requires run access/,
  "start a worker with all rights": /Can't escalate parent thread permissions/,
};

/** What its owner is told of that, though the plugin catches the error. Of `run` Deno keeps no record. */
const LOGGED: Readonly<Record<string, RegExp>> = {
  "read a file":
    /^tried read of "\/etc\/shadow", which is not granted; to allow it, add it to devices\[1\].permissions.read$/,
  "follow a symlink": /^tried read of "\/proc\/self\/root\/etc\/passwd"/,
  "import a file": /^tried read of "\/etc\/hostname"/,
  "import from the web": /^tried import of "example.org:443"/,
  "write a file": /^tried write of "\/tmp\/paddock-attack"/,
  "open a socket": /^tried net of "127.0.0.1:22"/,
  "listen": /^tried net of "0.0.0.0:0"/,
  "fetch": /^tried net of "127.0.0.1:8080"/,
  "read the environment": /^tried env of "HOME"/,
  "ask for the host's name": /^tried sys of "hostname"/,
};

/** Harmless to others, or the end of its process and the start of the next. */
const FATAL: Readonly<Record<string, RegExp>> = {
  "declare itself twice": /declared itself twice/,
  "post what is no message": /not one of the harness/,
  "flood": /messages in a second|process ended/,
  "exhaust the heap": /process ended with status 1/,
  "exhaust typed arrays": /allocation failed|process ended with status 1/,
};

async function start(
  sandbox: "deno" | "strict",
  more: Readonly<Record<string, unknown>> = {},
) {
  const vm = await Vm.start(
    hello("exit=spin", [
      { use: "console" },
      { use: MODULE, name: "hostile", ...more },
    ]),
    { sandbox },
  );
  const logged: string[] = [];
  vm.on("log", ({ message }) => logged.push(message));
  // The guest spins from here on, whatever becomes of its devices.
  await within(60_000, "the guest", readUntil(vm.console!.readable, "Goodbye"));
  const faults: string[] = [];
  vm.on("devicefault", ({ message }) => faults.push(message));
  const answers: string[] = [];
  const port = vm.port("hostile")!;
  port.onmessage = (data) => answers.push(String(data));
  /** What came of an attack, its answer or the faults it caused, once `outcome` is among it or 15 s are over. */
  const attack = async (name: string, outcome: RegExp): Promise<string> => {
    answers.length = faults.length = 0;
    port.postMessage(name);
    const deadline = performance.now() + 15_000;
    for (;;) {
      const news = [...answers.slice(0, 10), ...faults].join("\n");
      if (outcome.test(news) || performance.now() > deadline) return news;
      await new Promise((go) => setTimeout(go, 20));
    }
  };
  return { vm, attack, logged };
}

/** Its vCPU answers and goes on. */
async function goesOn(vm: Vm): Promise<void> {
  await within(15_000, "pause()", vm.pause());
  await within(15_000, "resume()", vm.resume());
}

for (const sandbox of ["strict", "deno"] as const) {
  kvmTest(
    `A plugin gets at nothing that its manifest does not grant (sandbox: ${sandbox})`,
    async () => {
      const { vm, attack, logged } = await start(sandbox);
      await using _ = vm;
      for (const [name, refusal] of Object.entries(REFUSED)) {
        assertMatch(await attack(name, refusal), refusal, name);
      }
      for (const [name, line] of Object.entries(LOGGED)) {
        await until(
          () => logged.some((each) => line.test(each)),
          `a line about "${name}"`,
          15_000,
        );
      }
      assertMatch(await attack("punch a hole", /done/), /^done/);
      await goesOn(vm);
      assertMatch(
        await attack("grant itself more", /denied/),
        /denied/,
      );
      await vm.stop();
      assertEquals((await vm.wait()).reason, "stopped");
    },
  );
}

kvmTest(
  "What a plugin does to its own process costs that process only",
  async () => {
    for (const [name, outcome] of Object.entries(FATAL)) {
      const { vm, attack } = await start("strict");
      await using _ = vm;
      assertMatch(await attack(name, outcome), outcome, name);
      await goesOn(vm);
      await within(15_000, `stop() after "${name}"`, vm.stop());
      assertEquals((await vm.wait()).reason, "stopped", name);
    }
  },
);

kvmTest("A plugin that spins for ever is killed with its VM", async () => {
  const { vm } = await start("strict");
  await using _ = vm;
  vm.port("hostile")!.postMessage("spin");
  await new Promise((resolve) => setTimeout(resolve, 300));
  await within(20_000, "stop()", vm.stop());
  assertEquals((await vm.wait()).reason, "stopped");
});

kvmTest(
  "A plugin in the VM's process reaches neither what the VM says nor what it is told",
  async () => {
    const { vm, attack } = await start("strict", { isolation: "worker" });
    await using _ = vm;
    const forged = await attack("forge messages of the VM", /done/);
    assertMatch(forged, /^done: \d+$/);
    assertMatch(
      await attack("read what the VM is told", /done/),
      /^done: null$/,
    );
    await goesOn(vm);
    await vm.stop();
    assertEquals((await vm.wait()).reason, "stopped");
  },
);

kvmTest(
  "A plugin runs the programs that it is granted, and no others",
  async () => {
    const permissions = { run: ["sh"] };
    const { vm, attack } = await start("strict", { permissions });
    await using _ = vm;
    const ran = await attack("spawn by name", /done|refused/);
    assertMatch(ran, /^done: .*"success":true/);
    assertMatch(await attack("spawn", /refused/), /run access to "\/bin\/sh"/);
    await vm.stop();
  },
);
