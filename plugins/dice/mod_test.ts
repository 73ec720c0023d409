import { assertEquals, assertMatch } from "@std/assert";
import { Vm } from "@paddock/paddock";
import { kvmTest } from "../../tests/kvm/host.ts";

const BOOT = {
  kernel: new URL("../../tests/guests/hello/hello.elf", import.meta.url)
    .pathname,
};

// Its process maps all of guest RAM, however little memory of its own it may have.
for (const memory of ["32M", "2G"]) {
  for (const isolation of ["process", "worker"] as const) {
    kvmTest(
      `dice in a ${isolation} gives a guest of ${memory} sixteen throws of a die`,
      async () => {
        const module = new URL("mod.ts", import.meta.url).href;
        await using vm = await Vm.start({
          memory,
          boot: BOOT,
          devices: [{ use: "console" }, { use: module, isolation }],
        });
        const output = await new Response(vm.console?.readable).text();
        assertMatch(output, /rng: (0[1-6]){16}/);
        assertEquals((await vm.wait()).reason, "poweroff");
      },
    );
  }
}

kvmTest("dice runs from its manifest", async () => {
  await using vm = await Vm.start(new URL("vm.json", import.meta.url));
  assertEquals((await vm.wait()).reason, "poweroff");
});
