import { assertEquals } from "@std/assert";
import { traceRegisters } from "../../../core/virtio/trace.ts";
import { FakeMachine, inlineModule } from "../../support/fake_machine.ts";

const DEVICE = inlineModule(
  `{ id: 4, features: { A: 0, B: 5 }, queues: { q: 8 }, create: () => ({ queues: { q: () => 0 } }) }`,
);

Deno.test("A trace has each access with the register's name and what the value means", async () => {
  await using machine = await FakeMachine.start({
    module: DEVICE,
    virtio: { ring: "packed" },
  });
  const told: unknown[] = [];
  const traced = traceRegisters(
    machine.transport,
    (event) => {
      if (event.kind !== "mmio") throw new TypeError(event.kind);
      const { operation, register, offset, size, value, meaning } = event;
      told.push([operation, register, offset, size, value, meaning]);
    },
  );
  await traced.read(0x000, 4);
  await traced.read(0x008, 4);
  await traced.write(0x070, 4, 0x1);
  await traced.write(0x070, 4, 0x3);
  await traced.write(0x014, 4, 1);
  await traced.read(0x010, 4);
  await traced.write(0x024, 4, 0);
  await traced.write(0x020, 4, 0x2000_0020);
  await traced.write(0x024, 4, 1);
  await traced.write(0x020, 4, 0x5);
  await traced.write(0x070, 4, 0);
  await traced.write(0x020, 4, 0);
  await traced.read(0x060, 4);
  await traced.write(0x0d0, 4, 7);
  await traced.read(0x104, 2);
  assertEquals(told, [
    ["read", "MagicValue", 0x000, 4, 0x74726976, '"virt"'],
    ["read", "DeviceID", 0x008, 4, 4, "entropy source"],
    ["write", "Status", 0x070, 4, 0x1, "ACKNOWLEDGE"],
    ["write", "Status", 0x070, 4, 0x3, "ACKNOWLEDGE|DRIVER"],
    ["write", "DeviceFeaturesSel", 0x014, 4, 1, ""],
    [
      "read",
      "DeviceFeatures",
      0x010,
      4,
      0x105,
      "VERSION_1|RING_PACKED|RING_RESET",
    ],
    ["write", "DriverFeaturesSel", 0x024, 4, 0, ""],
    ["write", "DriverFeatures", 0x020, 4, 0x2000_0020, "5|EVENT_IDX"],
    ["write", "DriverFeaturesSel", 0x024, 4, 1, ""],
    ["write", "DriverFeatures", 0x020, 4, 0x5, "VERSION_1|RING_PACKED"],
    ["write", "Status", 0x070, 4, 0, "reset"],
    ["write", "DriverFeatures", 0x020, 4, 0, "none"],
    ["read", "InterruptStatus", 0x060, 4, 0, "none"],
    ["write", "0x0d0", 0x0d0, 4, 7, ""],
    ["read", "config+4", 0x104, 2, 0, ""],
  ]);
});
