// The front end before anything runs: what it asks a back end for, refuses, and offers its driver.

import { assertEquals, assertRejects } from "@std/assert";
import { VhostUserError } from "../../../core/errors.ts";
import { BackEndMachine } from "../../support/back_end_machine.ts";
import { FEATURES, u32, u64At } from "../../support/fake_back_end.ts";

const PACKED = 1n << 34n;

Deno.test("Negotiation asks, chooses what it knows, and sets up the back end's channel", async () => {
  await using machine = await BackEndMachine.start({
    protocolFeatures: 0xffff_ffffn,
  });
  const { backEnd } = machine;
  assertEquals(backEnd.requests(), [1, 15, 16, 17, 21, 3, 24]);
  assertEquals(u64At(backEnd.last(16).payload, 0), 0x3229n);
  assertEquals(backEnd.last(21).payload.length, 0);
  assertEquals(backEnd.told.map(({ fds }) => fds.length), [
    0,
    0,
    0,
    0,
    1,
    0,
    0,
  ]);
  // Acknowledgements are asked for once there are any.
  assertEquals(backEnd.told.map(({ flags }) => flags), [1, 1, 1, 1, 9, 9, 1]);
});

Deno.test("A back end without protocol features is asked for none, and may serve what needs no configuration", async () => {
  await using machine = await BackEndMachine.start({
    features: 1n << 32n,
    device: { id: 4, config: 0, queues: [{ name: "q", size: 8 }] },
  });
  assertEquals(machine.backEnd.requests(), [1, 3, 1]);
  await machine.negotiate();
  await machine.queue(0, 8);
  await machine.write(0x070, 0xf);
  // No enabling: the ring starts enabled. A question is the proof that all was read.
  assertEquals(machine.backEnd.requests(3), [2, 5, 8, 10, 9, 13, 14, 12, 1]);
  assertEquals(u64At(machine.backEnd.last(2).payload, 0), 1n << 32n);
});

Deno.test("A driver is offered what both sides have, and a queue's reset besides", async () => {
  const own = 1n << 6n | 1n << 23n | 1n << 50n;
  const notOurs = 1n << 26n | 1n << 33n | 1n << 35n | 1n << 36n | 1n << 41n;
  await using machine = await BackEndMachine.start({
    features: FEATURES | PACKED | own | notOurs,
  });
  // 50 is the high word's bit 18, VERSION_1 0, RING_RESET 8; PROTOCOL_FEATURES is never shown.
  assertEquals(machine.host.offered, [0x3080_0040, 0x0004_0101]);
  assertEquals([await machine.read(0x008), await machine.read(0x004)], [2, 2]);
});

Deno.test("A packed ring is offered where the manifest asks for it", async () => {
  await using machine = await BackEndMachine.start({
    features: FEATURES | PACKED,
    virtio: { ring: "packed" },
  });
  assertEquals(machine.host.offered[1], 0x105);
  await machine.bringUp(0, 0x5);
  const base = machine.backEnd.last(10).payload;
  assertEquals([u32(base, 0), u32(base, 4)], [1, 0x8000_8000]);
});

for (
  const [name, options, message] of [
    ["no VERSION_1", { features: 1n << 30n }, "VIRTIO_F_VERSION_1"],
    ["no packed ring", { virtio: { ring: "packed" } }, "VIRTIO_F_RING_PACKED"],
    ["no IN_ORDER", { virtio: { inOrder: true } }, "VIRTIO_F_IN_ORDER"],
    ["too few queues", { queues: 1 }, "has 1 queues, not 2"],
    [
      "no configuration",
      { protocolFeatures: 9n },
      "VHOST_USER_PROTOCOL_F_CONFIG",
    ],
  ] as const
) {
  Deno.test(`A back end with ${name} is refused before anything starts`, async () => {
    await assertRejects(
      () => BackEndMachine.start(options),
      VhostUserError,
      message,
    );
  });
}

Deno.test("A legacy device is offered nothing of virtio 1.0, packed rings neither", async () => {
  await using machine = await BackEndMachine.start({
    features: FEATURES | PACKED | 1n << 27n,
    virtio: { transport: "legacy" },
  });
  assertEquals(machine.host.offered, [0x3800_0000, 0]);
});

Deno.test("A device whose configuration is the front end's asks for none", async () => {
  const config = new Uint8Array(40).fill(7);
  await using machine = await BackEndMachine.start({
    protocolFeatures: 9n,
    device: { id: 26, config },
  });
  assertEquals(machine.backEnd.requests(), [1, 15, 16, 17, 3]);
  assertEquals(await machine.read(0x100 + 36), 0x0707_0707);
});

Deno.test("What a network device needs configuration for is not offered without", async () => {
  const device = { id: 1, config: 12, withoutConfig: [5, 17] };
  const features = FEATURES | 1n << 5n | 1n << 17n | 1n << 15n;
  await using bare = await BackEndMachine.start({
    features,
    protocolFeatures: 9n,
    device,
  });
  assertEquals(bare.host.offered[0], 0x3000_8000);
  await using full = await BackEndMachine.start({ features, device });
  assertEquals(full.host.offered[0], 0x3002_8020);
});

Deno.test("A feature that needs one which the back end has not is not offered", async () => {
  await using machine = await BackEndMachine.start({
    // 11 needs 0; 10 needs 7, which needs 1.
    features: FEATURES | 1n << 7n | 1n << 10n | 1n << 11n | 1n << 15n | 1n,
    device: { id: 1, config: 12, needs: [[10, 7], [7, 1], [11, 0]] },
  });
  assertEquals(machine.host.offered[0], 0x3000_8801);
});
