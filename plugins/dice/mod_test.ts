import { assertEquals, assertMatch } from "@std/assert";
import { Vm } from "@paddock/paddock";
import { kvmTest } from "../../tests/kvm/host.ts";

kvmTest("dice gives a guest sixteen throws of a die", async () => {
  const manifest = new URL("vm.json", import.meta.url);
  await using vm = await Vm.start(manifest);
  const output = await new Response(vm.console?.readable).text();
  assertMatch(output, /rng: (0[1-6]){16}/);
  assertEquals((await vm.wait()).reason, "poweroff");
});
