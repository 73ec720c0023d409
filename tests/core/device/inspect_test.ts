// What a module declares is asked in a process of its own, and its patterns are tried there.
import { assertEquals, assertMatch } from "@std/assert";
import { inspectModule } from "../../../core/device/inspect.ts";
import { withFolder } from "../../support/folder.ts";

const PLUGIN = new URL("../../../core/plugin.ts", import.meta.url).href;

/** Inspects a device with one option `label`, of this pattern. */
function inspect(
  pattern: string,
  given: Record<string, unknown>,
  byDefault?: string,
) {
  return withFolder(async (folder) => {
    const option = {
      type: "string",
      pattern,
      description: "a name",
      ...byDefault === undefined ? {} : { default: byDefault },
    };
    const path = `${folder}/mod.ts`;
    await Deno.writeTextFile(
      path,
      `import { defineDevice } from "${PLUGIN}";
      export default defineDevice({ id: 4, queues: {},
        options: { label: ${JSON.stringify(option)} },
        create: () => ({ queues: {} }) });`,
    );
    return await inspectModule(`file://${path}`, [], given);
  });
}

Deno.test("inspectModule() says which options do not match their patterns", async () => {
  for (
    const [value, unmatched] of [
      ["abc", []],
      ["ABC", ["label"]],
      ["abc\nd", ["label"]],
      [7, []],
    ] as const
  ) {
    const inspected = await inspect("[a-z]+", { label: value });
    if (typeof inspected === "string") throw new Error(inspected);
    assertEquals(inspected.unmatched, unmatched, `${value}`);
    assertEquals(inspected.id, 4);
  }
});

Deno.test("inspectModule() refuses a default that its pattern does not match", async () => {
  assertEquals(
    await inspect("[a-z]+", {}, "ABC"),
    "declares option label with a default that its pattern does not match (see options in plugins/API.md)",
  );
});

Deno.test("A pattern that takes for ever does not hold whoever asks", async () => {
  const inspected = await inspect("(a|a)*b", { label: "a".repeat(60) });
  assertMatch(String(inspected), /^does not load in 10 s$/);
});
