// How a Linux guest ends its VM.

import { assertEquals, assertStringIncludes } from "@std/assert";
import { GUEST_MS, runGuest } from "./guest.ts";
import { linuxTest } from "./host.ts";
import { until } from "../support/wait.ts";

linuxTest("A guest that reboots ends the VM as reboot", async () => {
  const { exit } = await runGuest("reboot -f");
  assertEquals(exit, { reason: "reboot", detail: "the guest rebooted" });
});

linuxTest(
  "A kernel panic ends the VM as panic, after its last words",
  async () => {
    const events: string[] = [];
    const { text, exit } = await runGuest(
      "echo before; sleep 0.1; echo c > /proc/sysrq-trigger",
      {
        cmdline: "console=ttyS0 loglevel=7",
        during: (vm) => {
          vm.on("guestpanic", () => void events.push("guestpanic"));
          return Promise.resolve();
        },
      },
    );
    const said = `${exit.detail}\n${text}`;
    assertEquals([exit.reason, ...events], ["panic", "guestpanic"], said);
    assertStringIncludes(
      text,
      "Kernel panic - not syncing: sysrq triggered crash",
    );
  },
);

linuxTest("A guest that is paused loses no time and goes on", async () => {
  const { text, exit } = await runGuest(
    "i=0; until [ -e /end ]; do echo tick $i; i=$((i + 1)); sleep 0.05; done &\nread line; touch /end; wait",
    {
      cpus: 2,
      during: async (vm, text) => {
        await until(() => text().includes("tick 3"), "tick", GUEST_MS);
        for (let i = 0; i < 5; i++) {
          await vm.pause();
          // What was printed before may still be on its way.
          let before = "";
          for (let quiet = 0; quiet < 5; quiet++) {
            if (text() !== before) quiet = 0;
            before = text();
            await new Promise((next) => setTimeout(next, 100));
          }
          const { exits } = await vm.statistics();
          await new Promise((next) => setTimeout(next, 300));
          assertEquals([text(), (await vm.statistics()).exits], [
            before,
            exits,
          ]);
          await vm.resume();
          await until(() => text() !== before, "more output", GUEST_MS);
        }
        const keys = vm.console!.writable.getWriter();
        await keys.write(new TextEncoder().encode("end\r"));
      },
    },
  );
  assertEquals(exit.reason, "poweroff");
  // Each tick once, in order.
  const ticks = [...text.matchAll(/^tick (\d+)$/gm)].map(([, n]) => Number(n));
  assertEquals(ticks, ticks.map((_, i) => i));
});
