import { assert, assertEquals } from "@std/assert";
import { isFromWorker } from "../../../core/device/messages.ts";
import { FakeMachine, inlineModule } from "../../support/fake_machine.ts";

const MESSAGES: readonly (readonly [string, string])[] = [
  ["null", "null"],
  ["text", `"closed"`],
  ["no type", "{}"],
  ["an unknown type", `{ type: "format" }`],
  ["a type that is an object", `{ type: { toString: 1 } }`],
  ["an error without a section", `{ type: "driver-error", message: "x" }`],
  ["a log line that is an object", `{ type: "log", message: { toString: 1 } }`],
  [
    "a hole that is text",
    `{ type: "punch-hole", id: 1, offset: "0", length: 1 }`,
  ],
  ["a second declaration", `{ type: "declared", declaration: { id: 1 } }`],
  ["its own end", `{ type: "closed", error: null }`],
  ["an end with an object", `{ type: "closed", error: {} }`],
];

for (const [what, message] of MESSAGES) {
  Deno.test(`A device that posts ${what} fails alone`, async () => {
    await using machine = await FakeMachine.start({
      module: inlineModule(`{ id: 7, queues: {}, create: () => ({
        queues: {}, activate() { self.postMessage(${message}); } }) }`),
    });
    await machine.bringUp();
    await machine.until(() => machine.faults.length > 0);
    assertEquals(machine.status & 0x40, 0x40);
    await machine.reset();
    assertEquals(machine.faults.length, 1);
  });
}

Deno.test("A flood of malformed messages is one fault", async () => {
  await using machine = await FakeMachine.start({
    module: inlineModule(`{ id: 7, queues: {}, create: () => ({
      queues: {}, activate() {
        for (let i = 0; i < 10000; i++) self.postMessage(i);
      } }) }`),
  });
  await machine.bringUp();
  await machine.until(() => machine.faults.length > 0);
  await new Promise((go) => setTimeout(go, 50));
  assertEquals(machine.faults.length, 1);
});

Deno.test("A log line and a fault are cut at 1000 characters", async () => {
  await using machine = await FakeMachine.start({
    module: inlineModule(`{ id: 7, queues: {}, create: ({ log }) => ({
      queues: {}, activate() {
        log("x".repeat(1e6)); throw new Error("y".repeat(1e6)); } }) }`),
  });
  await machine.bringUp();
  await machine.until(() => machine.faults.length > 0);
  assertEquals(machine.logged[0]!.length, 1000);
  assert(machine.faults[0]!.length < 1100);
});

Deno.test("isFromWorker() knows the harness's own messages", () => {
  for (
    const message of [
      { type: "declared", declaration: null },
      { type: "driver-error", section: "2.7", message: "m" },
      { type: "failed", message: "m" },
      { type: "log", message: "m" },
      { type: "port", data: undefined },
      { type: "punch-hole", id: 0, offset: 0, length: 512 },
      { type: "closed", error: null },
      { type: "closed", error: "e" },
    ]
  ) assertEquals(isFromWorker(message), true, message.type);
});
