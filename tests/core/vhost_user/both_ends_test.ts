// Our front end with our back end: a device behind a register file, in this process and in one that is killed.

import { assert, assertEquals } from "@std/assert";
import { configOf } from "../../../core/virtio/device_page.ts";
import { BackSide } from "../../support/fake_back_side.ts";
import { DeviceProcess } from "../../support/device_process.ts";
import { FakeRing } from "../../support/fake_driver.ts";
import { ECHO, Load, SIZE } from "../../support/fake_load.ts";
import { inlineModule, MODERN } from "../../support/fake_machine.ts";
import { FakePackedRing } from "../../support/fake_packed_ring.ts";
import { FakeVm } from "../../support/fake_vm_side.ts";
import { withFolder } from "../../support/folder.ts";
import { until } from "../../support/wait.ts";
import { connect, connectionPair } from "../../support/connections.ts";

const PAUSE = 7, RESUME = 8;
const answer = { at: 0x8000, length: 16, write: true };

/** Counts requests; keeps the last one of each four. */
const COUNTER = inlineModule(`{
  id: 7,
  queues: { q: 16 },
  config: { length: "u32", mode: { type: "u8", writable: true } },
  create({ log, updateConfig, config }) {
    let count = 0;
    return {
      queues: { q: ({ writable }) => {
        updateConfig({ length: ++count });
        return writable.write(new Uint8Array([count, config.mode]));
      } },
      activate: () => log("activate"),
      reset: () => { log("reset"); count = 0; },
    };
  },
}`);

/** A device of this process, and connections to it, one at a time. */
async function pairUp(module: string, ring: "split" | "packed" = "split") {
  const side = await BackSide.start({ module, virtio: { ring } });
  const connect = async () => {
    await side.served;
    const [ours, theirs] = connectionPair();
    side.serve(theirs);
    return ours;
  };
  return { side, connect };
}

for (const format of ["split", "packed"] as const) {
  Deno.test(`A device behind our own front end is served over a ${format} ring, reset and served again`, async () => {
    const { side, connect } = await pairUp(COUNTER, format);
    await using _ = side;
    await using vm = await FakeVm.start({
      connect,
      device: { config: 8 },
      virtio: { ring: format },
    });
    for (let life = 0; life < 3; life++) {
      await vm.negotiate(format === "packed" ? 5 : 1);
      const ring = format === "packed"
        ? new FakePackedRing(vm.memory.shared, 8)
        : new FakeRing(vm.memory.shared, 8);
      await vm.queue(ring);
      await vm.driverOk();
      for (let i = 1; i <= 20; i++) {
        if (ring instanceof FakeRing) ring.add(answer);
        else ring.add([answer]);
        vm.kick();
        await vm.used(ring, 1);
        assertEquals(vm.memory.bytes[0x8000], i);
      }
      await until(() => vm.words[1] === 0xf && vm.interrupts > 0);
      const space = configOf(vm.host.page);
      await until(() => space[0] === 20);
      await vm.reset();
      assertEquals(await vm.read(0x070), 0);
    }
    assertEquals([vm.faults, vm.driverErrors], [[], []]);
    assertEquals([side.violations, side.faults], [[], []]);
    // What a device logs comes later than what its driver sees.
    await until(() => side.logged.length === 6);
    assertEquals(side.logged.join(), Array(3).fill("activate,reset").join());
  });
}

Deno.test("A paused device finishes what is in flight, and goes on where it was", async () => {
  const { side, connect } = await pairUp(COUNTER);
  await using _ = side;
  await using vm = await FakeVm.start({ connect, device: { config: 8 } });
  await vm.negotiate();
  const ring = new FakeRing(vm.memory.shared, 8);
  await vm.queue(ring);
  await vm.driverOk();
  for (let round = 1; round < 10; round++) {
    ring.add(answer);
    vm.kick();
    await vm.used(ring, 1);
    assert(await vm.host.command(PAUSE));
    ring.add(answer);
    vm.kick();
    await new Promise((go) => setTimeout(go, 5));
    assertEquals(ring.usedIdx, 2 * round - 1);
    assert(await vm.host.command(RESUME));
    await vm.used(ring, 1);
    assertEquals(vm.memory.bytes[0x8000], 2 * round);
  }
  await until(() => side.logged.length > 0);
  assertEquals(side.logged, ["activate"]);
});

for (const format of ["split", "packed"] as const) {
  Deno.test(`A VM does not notice that the process of its device is killed under load, on a ${format} ring`, () =>
    withFolder(async (folder) => {
      await using device = await DeviceProcess.spawn(folder, {
        module: ECHO,
        virtio: { ...MODERN, ring: format },
      });
      await using vm = await FakeVm.start({
        connect: () => connect(device.socket),
        virtio: { ring: format },
      });
      await vm.negotiate(format === "packed" ? 5 : 1);
      const ring = format === "packed"
        ? new FakePackedRing(vm.memory.shared, SIZE)
        : new FakeRing(vm.memory.shared, SIZE);
      await vm.queue(ring);
      await vm.driverOk();
      const load = new Load(ring, vm.memory.bytes);
      for (let life = 0; life < 5; life++) {
        const goal = load.done + 40 + 37 * life;
        await until(
          () => {
            load.turn();
            vm.kick();
            return load.done >= goal;
          },
          `${goal} requests`,
          15_000,
        );
        if (life === 4) break;
        await device.end("SIGKILL");
        await device.start();
      }
      assertEquals(await vm.read(0x070), 0xf);
      assertEquals(vm.driverErrors, []);
    }));
}
