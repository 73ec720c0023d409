import { assertEquals, assertStringIncludes } from "@std/assert";
import { RateLimit } from "../../../core/sys/rate_limit.ts";
import { FakeMachine, inlineModule } from "../../support/fake_machine.ts";

Deno.test("RateLimit gives so many a second, and then again", async () => {
  const limit = new RateLimit(3);
  const taken = () => [1, 2, 3, 4, 5].map(() => limit.take());
  assertEquals(taken(), [true, true, true, false, false]);
  await new Promise((resolve) => setTimeout(resolve, 1050));
  assertEquals(limit.take(), true);
});

Deno.test("A device that floods main with messages is cut off, and its log is short", async () => {
  const module = inlineModule(`{ id: 4, queues: {}, create: ({ log }) => ({
    queues: {},
    activate() { for (let i = 0; i < 100000; i++) log("again"); },
  }) }`);
  await using machine = await FakeMachine.start({ module, maxMessages: 1000 });
  await machine.negotiate();
  await machine.driverOk();
  await machine.until(() => machine.host.failed, undefined, 8000);
  assertEquals(machine.logged.length <= 600, true);
  assertStringIncludes(machine.faults.join(), "messages in a second");
});
