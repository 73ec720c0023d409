import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  offeredFeatures,
  readDeclaration,
} from "../../../core/device/declaration.ts";
import type { Declaration } from "../../../core/virtio/device_host.ts";
import type { VirtioConfig } from "../../../core/manifest/config.ts";
import {
  FakeMachine,
  inlineModule,
  MODERN,
} from "../../support/fake_machine.ts";

const good = {
  id: 4,
  features: [0, 23, 50, 63],
  needs: [[23, 0]] as readonly (readonly [number, number])[],
  queues: [{ name: "q", size: 64 }],
  config: new Uint8Array(1024),
};

Deno.test("readDeclaration() copies what it accepts", () => {
  const read = readDeclaration({ ...good, more: 1 });
  assertEquals(read, good);
  assertEquals((read as Declaration).config === good.config, false);
  const offered = (virtio: Partial<VirtioConfig>) =>
    offeredFeatures(read as Declaration, { ...MODERN, ...virtio });
  assertEquals(offered({}), [0x3080_0001, 0x8004_0101]);
  assertEquals(offered({ ring: "packed" }), [0x3080_0001, 0x8004_0105]);
  assertEquals(
    offered({ inOrder: true, notificationData: true }),
    [0x3080_0001, 0x8004_0149],
  );
  // A legacy driver sees 32 bits, and may lay out its requests as it likes.
  assertEquals(offered({ transport: "legacy" }), [0x3880_0001, 0x8004_0000]);
});

/** As objects without a way to become text, which a plugin can post. */
const mute = { toString: 1, valueOf: 1 };
const NONSENSE: readonly (readonly [string, unknown])[] = [
  ["nothing", undefined],
  ["null", null],
  ["a number", 7],
  ["id 0", { ...good, id: 0 }],
  ["id 65536", { ...good, id: 65536 }],
  ["id 1.5", { ...good, id: 1.5 }],
  ["id as text", { ...good, id: "4" }],
  ["id as a mute object", { ...good, id: mute }],
  ["id as a bigint", { ...good, id: 4n }],
  ["features that are no list", { ...good, features: 3 }],
  ["features that are null", { ...good, features: null }],
  ["a feature of the rings", { ...good, features: [28] }],
  ["VERSION_1", { ...good, features: [32] }],
  ["feature 64", { ...good, features: [64] }],
  ["feature -1", { ...good, features: [-1] }],
  ["features with a hole", { ...good, features: [, 1] }],
  ["a mute feature", { ...good, features: [mute] }],
  ["4 billion features", { ...good, features: new Array(2 ** 32 - 1) }],
  ["queues that are no list", { ...good, queues: {} }],
  ["32 queues", { ...good, queues: Array(32).fill({ name: "q", size: 1 }) }],
  ["a queue that is null", { ...good, queues: [null] }],
  ["queues with a hole", { ...good, queues: [,] }],
  ["a queue without a name", { ...good, queues: [{ size: 4 }] }],
  ["a mute queue name", { ...good, queues: [{ name: mute, size: 3 }] }],
  ["a huge queue name", {
    ...good,
    queues: [{ name: "q".repeat(1e6), size: 4 }],
  }],
  ["a queue of size 0", { ...good, queues: [{ name: "q", size: 0 }] }],
  ["a queue of size 3", { ...good, queues: [{ name: "q", size: 3 }] }],
  ["a queue of size 65536", { ...good, queues: [{ name: "q", size: 65536 }] }],
  ["a mute queue size", { ...good, queues: [{ name: "q", size: mute }] }],
  ["no needs", { ...good, needs: undefined }],
  ["needs that are no pairs", { ...good, needs: [[23]] }],
  ["needs beyond 63", { ...good, needs: [[23, 64]] }],
  ["no configuration space", { ...good, config: undefined }],
  ["configuration space as a list", { ...good, config: [1, 2] }],
  ["too much configuration space", { ...good, config: new Uint8Array(1025) }],
];

for (const [what, declaration] of NONSENSE) {
  Deno.test(`readDeclaration() refuses ${what}`, () => {
    const problem = readDeclaration(declaration);
    assertEquals(typeof problem, "string");
    assertStringIncludes(problem as string, "declares");
    assertEquals((problem as string).length < 200, true);
  });
}

/** A device that never comes up: the guest finds none, and the VM goes on. */
function neverStarts(
  name: string,
  module: string,
  says: string,
  startMs = 30_000,
): void {
  Deno.test(`A device ${name} is no device`, async () => {
    await using machine = await FakeMachine.start({ module, startMs });
    assertEquals(await machine.read(0x008), 0);
    assertEquals(await machine.read(0x034), 0);
    await machine.reset();
    assertEquals(machine.status, 0x40);
    assertEquals(machine.faults.length, 1);
    assertStringIncludes(machine.faults[0]!, says);
  });
}

neverStarts(
  "whose module throws",
  inlineModule("1", `throw new Error("at import")`),
  "at import",
);
neverStarts("whose module is no module", inlineModule("(("), "");
neverStarts(
  "whose module cannot be loaded",
  "file:///nonexistent/mod.ts",
  "",
);
neverStarts("that exports no device", inlineModule("42"), "defineDevice");
neverStarts(
  "whose create() throws",
  inlineModule(
    `{ id: 1, queues: {}, create() { throw new Error("no file") } }`,
  ),
  "no file",
);
neverStarts(
  "whose create() rejects",
  inlineModule(`{ id: 1, queues: {}, async create() { throw 1 } }`),
  "1",
);
neverStarts(
  "whose create() returns nothing",
  inlineModule("{ id: 1, queues: {}, create() {} }"),
  "create() returned undefined",
);
neverStarts(
  "that declares a wrong id",
  inlineModule("{ id: -1, queues: {}, create: () => ({ queues: {} }) }"),
  "id -1",
);
neverStarts(
  "that declares what cannot be posted",
  inlineModule(
    "{ id: 1, queues: {}, features: { A: () => {} }, create: () => ({ queues: {} }) }",
  ),
  "feature bit () => {}",
);
neverStarts(
  "whose module never ends",
  inlineModule("1", "await new Promise(() => setTimeout(() => {}, 60000))"),
  "did not declare itself in 1.5 s",
  1500,
);

Deno.test("A device's module may await before it exports", async () => {
  await using machine = await FakeMachine.start({
    module: inlineModule(
      `{ id: 9, queues: {}, create: async () => ({ queues: {} }) }`,
      "await new Promise((go) => setTimeout(go, 50))",
    ),
  });
  assertEquals(await machine.read(0x008), 9);
});

Deno.test("An update before the declaration is accepted is not lost", async () => {
  await using machine = new FakeMachine({
    module: inlineModule(`{ id: 9, queues: {}, config: { bytes: 2 },
      create({ port, updateConfig }) {
        port.onmessage = (bytes) => updateConfig({ bytes });
        return { queues: {} };
      } }`),
  });
  machine.host.start();
  machine.host.port.postMessage(new Uint8Array([5, 6]));
  await machine.host.declared;
  for (let look = 0; await machine.read(0x100, 2) !== 0x0605; look++) {
    assert(look < 200, "the update is lost");
    await new Promise((go) => setTimeout(go, 5));
  }
});
