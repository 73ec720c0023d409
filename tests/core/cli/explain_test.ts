// `paddock explain`: sections of the specification, and parts of the plugin API.

import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { explain } from "../../../core/cli/explain.ts";
import { UsageError } from "../../../core/cli/usage.ts";
import { capture } from "./capture.ts";

const say = async (section?: string, json = false) => {
  const { status, stdout } = await capture(() =>
    explain({
      logLevel: "info",
      color: false,
      json,
      command: "explain",
      section,
    })
  );
  assertEquals(status, 0);
  return stdout;
};

Deno.test("explain prints a section of the specification", async () => {
  assertMatch(await say("2.7.5"), /^virtio-v1.3 §2.7.5, .*\nEach descriptor/);
  assertEquals(await say("§2.7.5"), await say("2.7.5"));
  const all = await say();
  assertMatch(all, /^§2.1.1 /);
  // And then what else there is to explain.
  assert(all.endsWith(await say("plugin")));
});

Deno.test("explain plugin lists the parts of the API with a sentence each", async () => {
  const lines = (await say("plugin")).trimEnd().split("\n");
  assertMatch(lines[0]!, /^plugin.defineDevice +Declares a device$/);
  // What is said goes on in its column.
  assertEquals(
    lines.filter((line) => !/^(plugin\.\w+ +| {25})\S/.test(line)),
    [],
  );
  assertEquals(lines.filter((line) => line.length > 80), []);
  assert(lines.some((line) => line.startsWith("plugin.queues ")));
});

Deno.test("explain prints a part of the plugin API as plain text", async () => {
  const text = await say("plugin.OptionsSchema");
  assertMatch(text, /^OptionsSchema\n\n {4}type OptionsSchema = /);
  assertStringIncludes(text, "\n    export const options = {\n      image: {");
  assertEquals(/```|\]\(#/.test(text), false, text);
  assertStringIncludes(await say("plugin.options"), "as\nOptionsSchema has it");
});

Deno.test("explain finds the part that a member belongs to, in any case", async () => {
  assertEquals(
    await say("plugin.VirtioDevice.pause"),
    await say("plugin.virtiodevice"),
  );
  assertEquals(
    await say("plugin.DeviceDefinition.create"),
    await say("plugin.create"),
  );
});

Deno.test("explain --json gives parts as data", async () => {
  const [part] = JSON.parse(await say("plugin.id", true));
  assertEquals(part.name, "id");
  assertStringIncludes(part.text, "1 to 65535");
});

Deno.test("explain says which part was meant", async () => {
  const error = await assertRejects(() => say("plugin.queus"), UsageError);
  assertEquals(
    (error as Error).message,
    'The plugin API has no part "queus"; did you mean plugin.queues?',
  );
  await assertRejects(() => say("plugin.zzzzzzzzz"), UsageError, "see paddock");
  await assertRejects(() => say("9.9"), UsageError, "No diagnosis cites");
});
