import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { pluginTest } from "../../../core/cli/plugin_conformance.ts";
import { ManifestError } from "../../../core/errors.ts";
import type { PermissionSet } from "../../../core/manifest/built_in.ts";
import { builtInDevices } from "../../../devices/registry.ts";
import { withFolder } from "../../support/folder.ts";
import { capture } from "./capture.ts";
import { NOTHING } from "../../support/permissions.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;

function run(
  module: string,
  options = {},
  json = false,
  permissions: PermissionSet = NOTHING,
) {
  const args = { module, options, permissions, json, color: false };
  return capture(() => pluginTest(args, builtInDevices));
}

Deno.test("plugin test prints a line a check, and what a built-in device is granted", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/disk.img`;
    const { status, stdout } = await run("block", { path, size: "1M" });
    const lines = stdout.trimEnd().split("\n");
    assertEquals(
      lines[0],
      `block is granted what it asks for: read ${path}, write ${path}`,
    );
    assertEquals(lines.at(-1), `${lines.length - 2} passed, 0 failed`);
    assertEquals(
      lines.slice(1, -1).filter((line) => !/^ok {4}.* \(.*\)$/.test(line)),
      [],
    );
    assertEquals(status, 0);
  });
});

Deno.test("plugin test says what happened, where, and what the contract asks", async () => {
  const path = "tests/support/broken/wrong_config.ts";
  const { status, stdout } = await run(ROOT + path);
  assertEquals(status, 1);
  const lines = stdout.trimEnd().split("\n");
  assertEquals(
    lines[0],
    "wrong_config is granted nothing, as it asks for nothing",
  );
  assertEquals(
    lines[2],
    "FAIL  it starts, and declares itself in time (plugins/API.md, create)",
  );
  assertStringIncludes(lines[3]!, `config field rate takes a whole number`);
  assertStringIncludes(lines[3]!, `${path}:10:5)`);
  assertMatch(lines[4]!, /^ {6}→ create\(\) returns a device within 5 s/);
  assertMatch(
    lines[5]!,
    /^[0-9]+ checks were not run: the device was cut off$/,
  );
  assertEquals(lines.slice(6), ["1 passed, 1 failed"]);
});

Deno.test("plugin test --json prints an object a check, and one for them all", async () => {
  const { status, stdout } = await run(
    `${ROOT}tests/support/broken/misplaced_config.ts`,
    {},
    true,
  );
  const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(lines.filter(({ ok }) => ok === false), [{
    name: "config fields lie where a driver can read them",
    section: "virtio-v1.3 §2.5.1",
    ok: false,
    detail: "rate lies at 1, no multiple of 4",
    asks:
      "Drivers read a field with its own width, aligned: numbers lie at multiples of their size (a u64 of 4). What is unused in front of one is a field too.",
  }]);
  const passed = lines.length - 2;
  const end = { passed, failed: 1, notRun: [], stopped: null };
  assertEquals([lines.at(-1), status], [end, 1]);
});

Deno.test("plugin test refuses options that the device does not declare", async () => {
  const error = await assertRejects(
    () => run("rng", { maxBites: 1 }),
    ManifestError,
  );
  assertEquals(
    (error as ManifestError).message,
    '--options.maxBites: unknown field; did you mean "maxBytes"?',
  );
});

Deno.test("plugin test grants a module nothing that the command line does not", async () => {
  const module = ROOT + "plugins/cow_disk/mod.ts";
  await withFolder(async (folder) => {
    const path = `${folder}/base.img`;
    await Deno.writeFile(path, new Uint8Array(4096));
    const error = await assertRejects(
      () => run(module, { path }),
      ManifestError,
    );
    assertEquals(
      error.message,
      `--permissions.read: the device asks for "${path}", which is not granted; add it`,
    );
  });
});

Deno.test("plugin test stops at what Deno refuses the device, and says how it is granted", async () => {
  await withFolder(async (folder) => {
    const module = `${folder}/reader.ts`;
    await Deno.writeTextFile(`${folder}/bytes`, "bytes");
    await Deno.writeTextFile(
      module,
      `export default { id: 4, queues: { requestq: 64 }, create: () => ({ queues: {
        requestq: ({ writable }) => writable.write(Deno.readFileSync("${folder}/bytes")),
      } }) };`,
    );
    const refused = await run(module, {}, false, { ...NOTHING, env: ["TERM"] });
    assertEquals(refused.status, 1);
    const lines = refused.stdout.trimEnd().split("\n");
    assertEquals(lines.filter((line) => line.startsWith("FAIL")).length, 1);
    assert(!refused.stdout.includes("manifest"), refused.stdout);
    assertStringIncludes(
      lines.at(-4)!,
      "→ What a device needs it asks for, in permissions of its declaration",
    );
    assertMatch(
      lines.at(-3)!,
      /^[0-9]+ checks were not run: it is not granted read of "[^"]+bytes"$/,
    );
    assertEquals(
      lines.at(-1),
      `Try again with --permissions '{ "read": ["${folder}/bytes"], "env": ["TERM"] }'`,
    );
    const granted = { ...NOTHING, read: [`${folder}/bytes`] };
    const { status, stdout } = await run(module, {}, false, granted);
    assertEquals(status, 0, stdout);
  });
});
