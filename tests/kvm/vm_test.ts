// Small guests through the public library: streams, endings, disks.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { probeKernelMode } from "../../core/arch/x86_64/probe.ts";
import { KvmSystem } from "../../core/kvm/system.ts";
import { ManifestError, Vm } from "../../core/mod.ts";
import { hello, runToEnd } from "./hello.ts";
import { withFolder } from "../support/folder.ts";
import { kvmTest } from "./host.ts";

kvmTest(
  "A guest prints on the console, and drives disk and rng",
  () =>
    withFolder(async (folder) => {
      const disk = { use: "block", path: `${folder}/disk.img`, size: "1M" };
      const { exit, console, serial } = await runToEnd(
        hello("", [{ use: "console" }, disk, { use: "rng" }]),
      );
      assertEquals(exit, {
        reason: "poweroff",
        detail: "the guest powered off",
      });
      assertMatch(
        console,
        /^Hello from the Paddock guest\nconsole: at 0xd0000000\nblock: 2048 sectors, sector 2047 written and verified\nrng: (?!0{32})[0-9a-f]{32}\nGoodbye\n$/,
      );
      assertEquals(serial, "");
    }),
);

for (const memory of ["16M", "3G", "8G"]) {
  kvmTest(
    `A guest with ${memory} of RAM comes up, and costs what it touches`,
    async () => {
      const { exit, console } = await runToEnd({ ...hello(), memory });
      assertEquals(exit.reason, "poweroff");
      assertMatch(console, /^Hello [^]*\nGoodbye\n$/);
    },
  );
}

kvmTest(
  "Devices whose kicks come by ioeventfd lose none, boot after boot",
  async () => {
    const virtio = { kick: "ioeventfd" };
    for (let boot = 0; boot < 10; boot++) {
      const devices = [{ use: "console", virtio }, { use: "rng", virtio }];
      const { exit, console } = await runToEnd(hello("", devices));
      assertEquals(exit.reason, "poweroff");
      assertMatch(console, /\nrng: [0-9a-f]{32}\nGoodbye\n$/);
    }
  },
);

kvmTest("A guest without a console prints on the serial port", async () => {
  const { console, serial } = await runToEnd(hello("", []));
  assertEquals(serial, "Hello from the Paddock guest\nGoodbye\n");
  assertEquals(console, "");
});

kvmTest("Console and serial port carry the same text when asked", async () => {
  const { console, serial } = await runToEnd(hello("serial"));
  assertMatch(console, /^Hello [^]*\nGoodbye\n$/);
  assertEquals(serial, console);
});

for (
  const [ending, reason] of [
    ["reboot", "reboot"],
    ["triple", "triple-fault"],
    ["panic", "panic"],
  ] as const
) {
  kvmTest(`exit=${ending} ends the VM as ${reason}`, async () => {
    const { exit, console } = await runToEnd(hello(`exit=${ending}`));
    assertEquals(exit.reason, reason);
    assertMatch(console, /\nGoodbye\n$/);
  });
}

kvmTest(
  "An instruction that KVM cannot emulate is an internal-error",
  async () => {
    using kvm = new KvmSystem();
    const refused = probeKernelMode(kvm).refused.includes("popcnt");
    const { exit } = await runToEnd(hello("exit=popcnt"));
    assertEquals(exit.reason, refused ? "internal-error" : "poweroff");
  },
);

kvmTest("Events come in order: started, guestpanic, exit", async () => {
  const events: string[] = [];
  await using vm = await Vm.start(hello("exit=panic"));
  vm.on("guestpanic", () => void events.push("guestpanic"));
  vm.on("exit", ({ reason }) => void events.push(`exit ${reason}`));
  await vm.wait();
  assertEquals(events, ["guestpanic", "exit panic"]);
});

kvmTest(
  "A disk keeps its content, and what the guest wrote is in the file",
  () =>
    withFolder(async (folder) => {
      const path = `${folder}/disk.img`;
      const before = crypto.getRandomValues(new Uint8Array(64 << 10));
      await Deno.writeFile(path, before);
      await Deno.utime(path, 1, 1);
      const { console } = await runToEnd(
        hello("", [{ use: "console" }, { use: "block", path }]),
      );
      assertMatch(
        console,
        /block: 128 sectors, sector 127 written and verified/,
      );
      // The guest wrote a pattern into the last sector, then what was there before.
      assert((await Deno.stat(path)).mtime!.getTime() > 1_000_000);
      assertEquals(await Deno.readFile(path), before);
    }),
);

kvmTest(
  "A missing disk is created sparse, with the size that was asked for",
  () =>
    withFolder(async (folder) => {
      const path = `${folder}/disk.img`;
      await runToEnd(hello("", [{ use: "block", path, size: "1G" }]));
      const { size, blocks } = await Deno.stat(path);
      assertEquals(size, 1 << 30);
      assert(blocks! > 0 && blocks! < 1024, `${blocks} blocks`);
    }),
);

kvmTest(
  "A read-only disk is read and not written to",
  () =>
    withFolder(async (folder) => {
      const path = `${folder}/disk.img`;
      await Deno.writeFile(path, new Uint8Array(1 << 16).fill(7));
      await Deno.chmod(path, 0o444);
      await Deno.utime(path, 1, 1);
      const { console } = await runToEnd(
        hello("", [{ use: "console" }, { use: "block", path, readOnly: true }]),
      );
      assertMatch(console, /block: 128 sectors, read-only, sector 127 read\n/);
      assertEquals((await Deno.stat(path)).mtime!.getTime(), 1000);
    }),
);

kvmTest(
  "A disk that one VM writes to is refused to a second",
  () =>
    withFolder(async (folder) => {
      const path = `${folder}/disk.img`;
      const disk = { use: "block", path, size: "1M" };
      await using _first = await Vm.start(hello("exit=hang", [disk]));
      for (const readOnly of [false, true]) {
        const second = hello("", [{ use: "block", path, readOnly }]);
        const error = await assertRejects(
          () => Vm.start(second),
          ManifestError,
        );
        assertEquals(
          error.message,
          `devices[0].path: "${path}" is in use by another VM; stop that one, or name another image`,
        );
      }
    }),
);

kvmTest(
  "VMs that only read a disk share it",
  () =>
    withFolder(async (folder) => {
      const path = `${folder}/disk.img`;
      await Deno.writeFile(path, new Uint8Array(1 << 16));
      const disk = { use: "block", path, readOnly: true };
      await using _first = await Vm.start(hello("exit=hang", [disk]));
      const { exit, serial } = await runToEnd(hello("", [disk]));
      assertEquals(exit.reason, "poweroff");
      assertMatch(serial, /read-only, sector 127 read/);
    }),
);

kvmTest(
  "A disk is free again when its VM has ended",
  () =>
    withFolder(async (folder) => {
      const disk = { use: "block", path: `${folder}/disk.img`, size: "1M" };
      for (let i = 0; i < 3; i++) {
        const { exit } = await runToEnd(hello("", [disk]));
        assertEquals(exit.reason, "poweroff");
      }
    }),
);

kvmTest("A VM ends normally when nobody reads its console", async () => {
  await using vm = await Vm.start(hello("serial"));
  assertEquals((await vm.wait()).reason, "poweroff");
});
