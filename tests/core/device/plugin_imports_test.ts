// What a plugin's modules may import: their own folder and the core, however the import is written.

import { assertEquals, assertMatch } from "@std/assert";
import { FakeMachine } from "../../support/fake_machine.ts";

const DEVICE =
  `export default { id: 4, queues: {}, config: { value: "u8" }, create({ updateConfig }) {
    updateConfig({ value });
    return { queues: {} };
  } };`;

/** Starts a device whose folder holds these files; returns its config byte, or what it was blamed for. */
async function start(files: Record<string, string>): Promise<number | string> {
  const folder = await Deno.makeTempDir({ prefix: "paddock-plugin-" });
  try {
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    const module = `file://${folder}/mod.ts`;
    await using machine = await FakeMachine.start({ module, builtIn: false });
    return machine.faults.length > 0
      ? machine.faults.join()
      : await machine.read(0x100, 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("A plugin imports from its own folder", async () => {
  const found = await start({
    "mod.ts": `import { value } from "./value.ts"; ${DEVICE}`,
    "value.ts": "export const value = 42;",
  });
  assertEquals(found, 42);
});

for (
  const [how, text] of [
    [
      "by a static text import",
      'import s from "file:///etc/hostname" with { type: "text" };',
    ],
    [
      "by a literal dynamic import",
      'const { default: s } = await import("file:///etc/hostname", { with: { type: "text" } });',
    ],
    ["by a call", 'const s = Deno.readTextFileSync("/etc/hostname");'],
  ] as const
) {
  Deno.test(`A plugin cannot read a file of the host ${how}`, async () => {
    const found = await start({
      "mod.ts": `${text} const value = s.length; ${DEVICE}`,
    });
    assertMatch(`${found}`, /Requires read access|NotCapable/);
  });
}
