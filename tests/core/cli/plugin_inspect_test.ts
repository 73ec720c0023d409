// `paddock plugin inspect` and `plugin list`: what is printed of devices that declare well, badly or nothing.

import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { pluginInspect } from "../../../core/cli/plugin_inspect.ts";
import { pluginList } from "../../../core/cli/plugin_list.ts";
import { UsageError } from "../../../core/cli/usage.ts";
import { ManifestError } from "../../../core/errors.ts";
import { builtInDevices } from "../../../devices/registry.ts";
import { withFolder } from "../../support/folder.ts";
import { capture } from "./capture.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;
const GLOBAL = { logLevel: "info", color: false } as const;

const inspect = (module: string, json = false) =>
  capture(() =>
    pluginInspect(
      { ...GLOBAL, json, command: "plugin inspect", module },
      builtInDevices,
    )
  );
const list = (manifest?: string, json = false) =>
  capture(() =>
    pluginList(
      { ...GLOBAL, json, command: "plugin list", manifest },
      builtInDevices,
    )
  );
const messageOf = async (
  module: string,
  kind: new (...args: never[]) => Error,
) => (await assertRejects(() => inspect(module), kind) as Error).message;

const MODULE = `export default {
  id: 2,
  features: { LOW: 0, HIGH: 63 },
  queues: { first: 2, second: 1024 },
  config: { mac: 6, state: { type: "u16", writable: true }, wide: "u64" },
  options: {
    url: { type: "url", description: "where from" },
    file: { type: "path", optional: true, description: "what file" },
    level: { type: "integer", min: 1, max: 9, default: 3, description: "how much" },
    room: { type: "size", min: 1024, max: 1048576, default: "2K", description: "how large" },
    mode: { type: "string", enum: ["a", "b"], default: "a", description: "which way" },
    word: { type: "string", pattern: "[a-z]+", optional: true, description: "a\\nline" },
  },
  permissions: { net: [{ option: "url" }, "example.org:80"], read: ["./data"] },
  create() {},
};`;

Deno.test("plugin inspect prints all that a module declares", () =>
  withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/odd`);
    await Deno.writeTextFile(`${folder}/odd/mod.ts`, MODULE);
    const { status, stdout } = await inspect(`${folder}/odd`);
    assertEquals(status, 0);
    assertEquals(
      stdout,
      `odd
  module       file://${folder}/odd/mod.ts
  id           2, block device
  features     LOW   bit 0
               HIGH  bit 63
  queues       first   up to 2 descriptors
               second  up to 1024 descriptors
  config       mac    at 0  6 bytes
               state  at 6  u16      writable
               wide   at 8  u64
  options      url    url                 required      where from
               file   path                optional      what file
               level  1 to 9              default 3     how much
               room   1K to 1M            default "2K"  how large
               mode   a | b               default "a"   which way
               word   string like [a-z]+  optional      a\\u000aline
  permissions  net: the value of option url, net: example.org:80, read: ./data
`,
    );
    const { stdout: json } = await inspect(`${folder}/odd/mod.ts`, true);
    const data = JSON.parse(json);
    assertEquals([data.name, data.id, data.queues.second], ["odd", 2, 1024]);
    assertEquals(data.config.state, { type: "u16", writable: true });
    assertEquals(data.permissions.read, ["./data"]);
    assertEquals(data.asks, [
      "net: the value of option url",
      "net: example.org:80",
      "read: ./data",
    ]);
  }));

Deno.test("plugin inspect prints a built-in device, and what its options make the host grant", async () => {
  const { stdout } = await inspect("block");
  assertMatch(stdout, /^block, a built-in device\n/);
  assertMatch(stdout, / {2}id {11}2, block device\n/);
  assertMatch(stdout, /VIRTIO_BLK_F_RO +bit 5\n/);
  assertMatch(stdout, / blk_size +at 20 +u32\n/);
  assertMatch(
    stdout,
    / permissions {2}read: the value of option path, write: the value of option path\n$/,
  );
  assertMatch((await inspect("rng")).stdout, / permissions {2}none\n$/);
});

Deno.test("plugin inspect says what it did not find, and what was meant", async () => {
  assertEquals(
    await messageOf("blok", UsageError),
    'There is no built-in device "blok"; did you mean block?',
  );
  assertEquals(
    await messageOf("./none.ts", UsageError),
    '"./none.ts" does not exist; name a module\'s file, or a built-in device: console, block, rng',
  );
  assertEquals(
    await messageOf("dice", UsageError),
    `"dice" is an example, no built-in device; name its module: ${ROOT}plugins/dice/mod.ts`,
  );
  assertMatch(
    await messageOf(`${ROOT}tests`, UsageError),
    /tests" has no mod.ts; name a module's file, or /,
  );
});

Deno.test("plugin inspect says what is wrong with a module, and where", () =>
  withFolder(async (folder) => {
    const module = `${folder}/mod.ts`;
    const why = async (text: string) => {
      await Deno.writeTextFile(module, text);
      return await messageOf(module, ManifestError);
    };
    assertEquals(
      await why("export default { id: 0, create() {} };"),
      `"file://${module}" declares id 0; a virtio device id is 1 to 65535 (see id in plugins/API.md)`,
    );
    assertStringIncludes(
      await why("\nthrow new Error('no luck');"),
      `no luck at file://${module}:2:7`,
    );
    assertStringIncludes(await why("let 1;"), module);
    assertStringIncludes(
      await why("Deno.readTextFileSync('/etc/hostname');"),
      'Requires read access to "/etc/hostname"',
    );
  }));

Deno.test("plugin list has a line for each built-in device and each example", async () => {
  const { status, stdout } = await list();
  assertEquals(status, 0, stdout);
  const lines = stdout.trimEnd().split("\n");
  assertMatch(
    lines[1]!,
    /^built-in {2}block +2, block device +requestq +asks for read: the value of option path, write: the value of option path$/,
  );
  assertMatch(
    lines.find((line) => line.includes(" dice "))!,
    /^example {3}dice +4, entropy source +requestq +asks for nothing$/,
  );
  const folders = [...Deno.readDirSync(`${ROOT}plugins`)].filter((entry) =>
    entry.isDirectory
  );
  assertEquals(lines.length, builtInDevices.size + folders.length);
});

Deno.test("plugin list has the devices of a manifest, and says which do not load", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/good.ts`, MODULE);
    await Deno.writeTextFile(`${folder}/bad.ts`, "export default 1;");
    await Deno.writeTextFile(
      `${folder}/vm.json`,
      JSON.stringify({
        name: "mine",
        devices: [{ use: "rng", name: "chance" }, { use: "./good.ts" }, {
          use: "./bad.ts",
        }],
      }),
    );
    const { status, stdout } = await list(`${folder}/vm.json`);
    assertEquals(status, 1);
    const [rng, good, bad] = stdout.trimEnd().split("\n").slice(-3);
    assertMatch(rng!, /^mine +chance +4, entropy source +requestq +asks for n/);
    assertMatch(
      good!,
      /^mine +good0 +2, block device +first, second +asks for net: the value of option url, net: example.org:80, read: .\/data$/,
    );
    assertMatch(
      bad!,
      /^mine +bad0 +"file:.*bad.ts" its default export is not defineDevice/,
    );
    const { stdout: json } = await list(`${folder}/vm.json`, true);
    const all: Record<string, unknown>[] = JSON.parse(json);
    assertEquals(all.at(-3)!.from, "mine");
    assertEquals(all.at(-2)!.id, 2);
    assert(`${all.at(-1)!.problem}`.includes("defineDevice"));
    await assertRejects(() => list(`${folder}/none.json`), ManifestError);
  }));
