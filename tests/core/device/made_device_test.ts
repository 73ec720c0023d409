import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { readDevice } from "../../../core/device/made_device.ts";
import { readModule } from "../../../core/device/module_declaration.ts";

const module = readModule({
  id: 7,
  features: { A: 0, B: 5 },
  queues: { rx: 8, tx: 16 },
  create: () => null,
});
const serve = () => 0;
const queues = { rx: serve, tx: null };

Deno.test("readDevice() takes every kind of handler, and the device itself", () => {
  for (
    const rx of [
      serve,
      { handle: serve },
      { handle: serve, refuse: serve },
      { available: () => {} },
      null,
    ]
  ) {
    const made = { queues: { rx, tx: serve }, close() {} };
    assertStrictEquals(readDevice(module, made), made);
  }
});

Deno.test("readDevice() takes features that are declared, and none", () => {
  for (const offers of [[], ["B"], ["A", "B"], undefined]) {
    const made = { queues, offers };
    assertStrictEquals(readDevice(module, made), made);
  }
});

const HANDLER = "give a function, { handle }, { available } or null";
const BROKEN: readonly (readonly [string, unknown, string])[] = [
  [
    "nothing",
    undefined,
    "create() returned undefined, not a device with its queues",
  ],
  ["null", null, "create() returned null, not a device with its queues"],
  ["a number", 7, "create() returned 7, not a device with its queues"],
  ["no queues", {}, "create() returned a device without queues"],
  [
    "queues in the singular",
    { queue: {} },
    "create() returned a device without queues; it has queue: did you mean queues?",
  ],
  [
    "queues null",
    { queues: null },
    "create() returned a device without queues",
  ],
  [
    "a queue less",
    { queues: { rx: serve } },
    `queue tx has no handler; ${HANDLER}`,
  ],
  [
    "a queue undefined",
    { queues: { rx: undefined, tx: null } },
    `queue rx has no handler; ${HANDLER}`,
  ],
  [
    "a list of queues",
    { queues: [serve, serve] },
    `queue rx has no handler; ${HANDLER}`,
  ],
  [
    "a text for a handler",
    { queues: { rx: "serve", tx: null } },
    `queue rx has no handler; ${HANDLER}`,
  ],
  [
    "a handler without functions",
    { queues: { rx: {}, tx: null } },
    `queue rx has no handler; ${HANDLER}`,
  ],
  [
    "a refuse alone",
    { queues: { rx: { refuse: serve }, tx: null } },
    `queue rx has no handler; ${HANDLER}`,
  ],
  [
    "a refuse that is no function",
    { queues: { rx: { handle: serve, refuse: 1 }, tx: null } },
    `queue rx has no handler; ${HANDLER}`,
  ],
  [
    "a queue more",
    { queues: { ...queues, more: serve } },
    "queue more has a handler but is not declared",
  ],
  [
    "a feature more",
    { queues, offers: ["A", "C"] },
    "offers C, which is not declared",
  ],
  [
    "a feature of every object",
    { queues, offers: ["toString"] },
    "offers toString, which is not declared",
  ],
  [
    "offers that are no list",
    { queues, offers: "A" },
    "offers is not a list of features",
  ],
  [
    "offers null",
    { queues, offers: null },
    "offers is not a list of features",
  ],
];

for (const [what, made, message] of BROKEN) {
  Deno.test(`readDevice() refuses ${what}`, () => {
    const error = assertThrows(() => readDevice(module, made), TypeError);
    assertEquals(
      (error as Error).message,
      `${message} (see VirtioDevice in plugins/API.md)`,
    );
  });
}
