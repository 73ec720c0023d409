// Examples of the public API are right: each is typed and runs, and each device among them keeps the contract.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { conformance } from "@paddock/paddock";
import { examplesOf } from "./support/examples.ts";
import { withFolder } from "./support/folder.ts";

const ROOT = new URL("../", import.meta.url);
/** Where the exports of core/plugin.ts and core/mod.ts are declared. */
const FILES = [
  "core/plugin.ts",
  "core/mod.ts",
  "core/vm.ts",
  "core/conformance/conformance.ts",
  "core/manifest/options.ts",
  "core/virtio/config_layout.ts",
];
const examples = FILES.flatMap(examplesOf);

/** Writes all examples to a folder; returns their modules' paths. */
async function writeAll(folder: string): Promise<string[]> {
  const paths = examples.map((_, at) => `${folder}/example${at}.ts`);
  for (const [at, { code }] of examples.entries()) {
    await Deno.writeTextFile(paths[at]!, code);
  }
  return paths;
}

Deno.test("Every file of the public API that says so has examples", () => {
  const where = examples.map(({ where }) => where.split(",")[0]);
  assertEquals(new Set(where), new Set(FILES));
});

Deno.test("Examples of the public API are typed", () =>
  withFolder(async (folder) => {
    const paths = await writeAll(folder);
    const { stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", `--config=${ROOT.pathname}deno.json`, ...paths],
      env: { NO_COLOR: "1" },
    }).output();
    // The product's own types are checked elsewhere.
    const wrong = new TextDecoder().decode(stderr).split("\n\n")
      .filter((error) => error.includes(`at file://${folder}/`));
    assertEquals(wrong, [], examples.map(({ where }) => where).join("\n"));
  }));

Deno.test("The example of a device's own test passes beside a device", () =>
  withFolder(async (folder) => {
    const example = examplesOf("core/conformance/conformance.ts")[0]!;
    await Deno.writeTextFile(`${folder}/mod_test.ts`, example.code);
    await Deno.copyFile(
      new URL("plugins/starter/mod.ts", ROOT),
      `${folder}/mod.ts`,
    );
    const config = `--config=${ROOT.pathname}deno.json`;
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "-A", "--no-check", config, "mod_test.ts"],
      cwd: folder,
      env: { NO_COLOR: "1" },
    }).output();
    const text = new TextDecoder().decode(stdout);
    assertStringIncludes(text, "1 passed | 0 failed");
  }));

Deno.test("Examples of the public API run, and their devices pass the conformance kit", () =>
  withFolder(async (folder) => {
    const paths = await writeAll(folder);
    let devices = 0;
    for (const [at, { where, ignored }] of examples.entries()) {
      if (ignored) continue;
      const module = `file://${paths[at]}`;
      const exports = await import(module);
      assert(Object.keys(exports).length > 0, where);
      if (exports.default === undefined) continue;
      devices++;
      const { checks } = await conformance(module);
      assertEquals(checks.filter(({ ok }) => !ok), [], where);
    }
    assertEquals(devices, 2);
  }));
