// The kit finds nothing wrong with the devices that come with the product.

import { assert, assertEquals } from "@std/assert";
import { testPlugin } from "../../../core/conformance/kit.ts";
import { withFolder } from "../../support/folder.ts";
import { NOTHING } from "../../support/permissions.ts";

const API = Deno.readTextFileSync(
  new URL("../../../plugins/API.md", import.meta.url),
);

/** A section of the specification, or a heading of the plugins' page. */
function isThere(section: string): boolean {
  const heading = /^plugins\/API\.md, (.+)$/.exec(section)?.[1];
  return heading === undefined
    ? /^virtio-v1\.3 §[0-9.]+[0-9]$/.test(section)
    : API.includes(`\n### ${heading}\n`);
}

/** Runs the kit on a module; returns names of what was checked. */
async function passes(
  module: string,
  options: Record<string, unknown>,
  permissions = {},
): Promise<string[]> {
  const told: string[] = [];
  const { checks, failed, passed, notRun, stopped } = await testPlugin({
    module: new URL(`../../../${module}`, import.meta.url).href,
    options,
    permissions: { ...NOTHING, ...permissions },
    onResult: ({ name }) => told.push(name),
  });
  assertEquals(checks.filter(({ ok }) => !ok), []);
  const unknown = checks.filter(({ section }) => !isThere(section));
  assertEquals(unknown.map(({ section }) => section), []);
  assertEquals([failed, passed, notRun, stopped], [0, told.length, [], null]);
  assert(told.length >= 44);
  return told;
}

Deno.test("The conformance kit passes the dice", async () => {
  const told = await passes("plugins/dice/mod.ts", {});
  assert(told.includes("entropy: every request gets bytes"));
});

Deno.test("The conformance kit passes the entropy device", async () => {
  await passes("devices/rng/mod.ts", { maxBytes: 65536 });
});

Deno.test("The conformance kit passes the console, and speaks with its port", async () => {
  const details: string[] = [];
  const report = await testPlugin({
    module: new URL("../../../devices/console/mod.ts", import.meta.url).href,
    options: {},
    permissions: NOTHING,
    onResult: ({ name, detail }) => details.push(`${name}: ${detail}`),
  });
  assertEquals(report.checks.filter(({ ok }) => !ok), []);
  assert(details.some((line) => line.endsWith("from there")));
  assert(
    details.includes(
      "packed rings: a chain with room to write comes back: receiveq keeps it, transmitq wrote 0 bytes",
    ),
  );
});

for (const readOnly of [false, true]) {
  Deno.test(`The conformance kit passes the block device, readOnly ${readOnly}, and leaves its disk as it was`, async () => {
    await withFolder(async (folder) => {
      const path = `${folder}/disk.img`;
      const disk = new Uint8Array(64 * 512).map((_, i) => i % 251);
      await Deno.writeFile(path, disk);
      const told = await passes(
        "devices/block/mod.ts",
        { path, readOnly },
        readOnly ? { read: [path] } : { read: [path], write: [path] },
      );
      assertEquals(told.filter((name) => name.startsWith("block:")).length, 4);
      assertEquals(await Deno.readFile(path), disk);
    });
  });
}
