// What a device is given: its configuration space by field, its queues and features by name.
import { assertEquals, assertStringIncludes } from "@std/assert";
import { FakeMachine, inlineModule } from "../../support/fake_machine.ts";

const answer = { at: 0x8000, length: 16, write: true };

/** A message is a function's body, which gets the context; its result is posted back. */
const OBEYS = inlineModule(`{
  id: 7,
  features: { A: 1, B: 2, C: 63 },
  config: {
    mac: 6,
    size: { type: "u32", writable: true },
    mode: { type: "u8", writable: true },
    long: { type: "u64", writable: true },
  },
  queues: { zulu: 4, alpha: 8, mike: 16 },
  create(context) {
    const { config, log, port, updateConfig } = context;
    log("begins with " + Object.values(config).join());
    updateConfig({ mac: Uint8Array.of(1, 2, 3, 4, 5, 6), size: 0x01020304 });
    port.onmessage = (body) => port.postMessage(new Function("context", body)(context));
    return {
      queues: { mike: () => 0, alpha: { available() {} }, zulu: null },
      offers: ["C", "A"],
      configWritten(field) {
        log(field + " = " + config[field]);
        if (field === "mode") updateConfig({ size: config.mode * 2 });
      },
    };
  },
}`);

const start = () => FakeMachine.start({ module: OBEYS });

/** Log lines are messages, which may come after the answer to a command. */
async function logged(machine: FakeMachine, lines: string[]): Promise<void> {
  await machine.until(() => machine.logged.length >= lines.length);
  assertEquals(machine.logged, lines);
}

async function ask(machine: FakeMachine, body: string): Promise<unknown> {
  const { port } = machine.host;
  const { promise, resolve } = Promise.withResolvers<unknown>();
  port.onmessage = resolve;
  port.postMessage(body);
  return await promise;
}

Deno.test("Queues have the numbers of their order in the declaration", async () => {
  await using machine = await start();
  const sizes = [];
  for (const queue of [0, 1, 2, 3]) {
    await machine.write(0x030, queue);
    sizes.push(await machine.read(0x034));
  }
  assertEquals(sizes, [4, 8, 16, 0]);
});

Deno.test("A device is offered with the features that it names when it is made", async () => {
  await using machine = await start();
  const words = [];
  for (const word of [0, 1]) {
    await machine.write(0x014, word);
    words.push(await machine.read(0x010));
  }
  assertEquals((words[0]! & 0x00ff_ffff) >>> 0, 0x2);
  assertEquals(words[1]! >>> 31, 1);
});

Deno.test("context.negotiated() knows what the driver took, until the reset", async () => {
  await using machine = await start();
  const negotiated = () =>
    ask(machine, `return ["A", "B", "C"].map(context.negotiated)`);
  assertEquals(await negotiated(), [false, false, false]);
  await machine.negotiate(0x2);
  assertEquals(await negotiated(), [true, false, false]);
  await machine.reset();
  assertEquals(await negotiated(), [false, false, false]);
  await machine.negotiate(0, 0x8000_0001);
  assertEquals(await negotiated(), [false, false, true]);
});

Deno.test("context.config has what the driver reads, as numbers and copied bytes", async () => {
  await using machine = await start();
  await logged(machine, ["begins with 0,0,0,0,0,0,0,0,0"]);
  assertEquals(
    await ask(
      machine,
      `const { mac, size, mode } = context.config;
      mac.fill(9);
      return [[...context.config.mac], size, mode, Object.keys(context.config)];`,
    ),
    [[1, 2, 3, 4, 5, 6], 0x0102_0304, 0, ["mac", "size", "mode", "long"]],
  );
  assertEquals(await machine.read(0x104, 4), 0x0304_0605);
});

Deno.test("A driver's write is in context.config, and the next read sees what the device made of it", async () => {
  await using machine = await start();
  await machine.write(0x10a, 21, 1);
  assertEquals(await machine.read(0x106, 2), 42);
  assertEquals(await machine.read(0x108, 2), 0);
  await logged(machine, [machine.logged[0]!, "mode = 21"]);
});

Deno.test("A driver's write over several fields reaches those that are writable", async () => {
  await using machine = await start();
  // The last two bytes of mac, the first two of size; then mode alone; then one byte in a u64.
  await machine.write(0x104, 0xaabb_ccdd, 4);
  await machine.write(0x10a, 0, 1);
  await machine.write(0x110, 0x80, 1);
  await logged(machine, [
    machine.logged[0]!,
    `size = ${0x0102_aabb}`,
    "mode = 0",
    `long = ${0x80 * 2 ** 40}`,
  ]);
  assertEquals(await machine.read(0x104, 2), 0x0605);
});

Deno.test("context.queue() is there by name from DRIVER_OK to the reset, for a queue that is ready", async () => {
  await using machine = await start();
  const live = () =>
    ask(
      machine,
      `return ["zulu", "alpha", "mike"].map((name) => context.queue(name) !== null)`,
    );
  assertEquals(await live(), [false, false, false]);
  await machine.negotiate();
  await machine.queue(1, 8);
  assertEquals(await live(), [false, false, false]);
  await machine.driverOk();
  assertEquals(await live(), [false, true, false]);
  await machine.reset();
  assertEquals(await live(), [false, false, false]);
});

Deno.test("A name that is not declared is the device's fault", async () => {
  for (
    const [body, says] of [
      [`context.queue("bravo")`, "there is no queue bravo"],
      [`context.negotiated("D")`, "there is no feature D"],
      [
        `context.updateConfig({ size: 1, depth: 1 })`,
        "there is no config field depth",
      ],
    ] as const
  ) {
    await using machine = await start();
    await machine.bringUp(4);
    machine.host.port.postMessage(body);
    await machine.needsReset();
    assertStringIncludes(machine.faults.join(), says);
    assertEquals(await machine.read(0x106, 2), 0x0304, "nothing was changed");
  }
});

Deno.test("A device that starts again finds its configuration space empty", async () => {
  await using machine = await FakeMachine.start({
    module: inlineModule(`{
      id: 7,
      config: { set: "u32", unset: { type: "u32", writable: true } },
      queues: { q: 8 },
      create({ config, log, updateConfig }) {
        log("begins with " + config.set + " " + config.unset);
        updateConfig({ set: 5 });
        return { queues: { q() { setTimeout(() => { throw new Error("dies"); }); } } };
      },
    }`),
  });
  await machine.negotiate();
  await machine.write(0x104, 7);
  assertEquals(await machine.read(0x104), 7);
  const ring = await machine.queue(0, 8);
  await machine.driverOk();
  const generation = await machine.read(0x0fc);
  ring.add(answer);
  machine.kick();
  await machine.needsReset();
  await machine.reset();
  await logged(machine, ["begins with 0 0", "begins with 0 0"]);
  assertEquals([await machine.read(0x100), await machine.read(0x104)], [5, 0]);
  assertEquals(await machine.read(0x0fc) > generation, true);
});
