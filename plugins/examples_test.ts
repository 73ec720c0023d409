// What all worked examples have in common: they are short, import the plugin door only, their manifests fit them, and
// the conformance kit finds nothing wrong.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { testPlugin } from "../core/conformance/kit.ts";
import { checkPlugins } from "../core/device/check_plugins.ts";
import type { PermissionSet } from "../core/manifest/built_in.ts";
import { ManifestError } from "../core/errors.ts";
import { parseManifest } from "../core/manifest/load.ts";
import { builtInDevices } from "../devices/registry.ts";
import { FileServer } from "../tests/support/file_server.ts";
import { withFolder } from "../tests/support/folder.ts";
import { freePort } from "../tests/support/typist.ts";
import { NOTHING } from "../tests/support/permissions.ts";

const HERE = new URL("./", import.meta.url);
const EXAMPLES = [...Deno.readDirSync(HERE)].filter(({ isDirectory }) =>
  isDirectory
).map(({ name }) => name).sort();
const MOST_LINES = 150;

const read = (path: string) => Deno.readTextFileSync(new URL(path, HERE));

for (const name of EXAMPLES) {
  Deno.test(`The example ${name} is short, and imports the plugin door only`, () => {
    const code = read(`${name}/mod.ts`);
    assert(code.split("\n").length <= MOST_LINES);
    const imported = [...code.matchAll(/ from "([^"]+)"/g)].map(([, it]) => it);
    assertEquals(
      imported.filter((it) =>
        it !== "@paddock/paddock/plugin" && !it!.startsWith("node:")
      ),
      [],
    );
    assertStringIncludes(read(`${name}/README.md`), `# ${name}\n`);
  });

  Deno.test(`The example ${name} gets all that it asks for from its manifest, and from nothing less`, () =>
    withFolder(async (folder) => {
      // What a README has made first, where it is in nobody's way.
      const disk = `${folder}/disk.img`;
      await Deno.writeFile(disk, new Uint8Array(4096));
      const config = parseManifest(
        read(`${name}/vm.json`).replaceAll(`"disk.img"`, `"${disk}"`),
        new URL(name, HERE).pathname,
        builtInDevices,
      );
      await checkPlugins(config);
      const devices = config.devices.map((device) =>
        device.builtIn ? device : { ...device, permissions: NOTHING }
      );
      const asks = read(`${name}/mod.ts`).includes("permissions:");
      try {
        await checkPlugins({ ...config, devices });
        assert(!asks);
      } catch (error) {
        if (!(error instanceof ManifestError)) throw error;
        assertStringIncludes(error.message, "which is not granted");
      }
    }));
}

/** Runs the kit, which sets a device up and resets it under load many times. */
async function conforms(
  name: string,
  options: Record<string, unknown> = {},
  permissions: Partial<PermissionSet> = {},
): Promise<void> {
  const { checks, failed, notRun } = await testPlugin({
    module: new URL(`${name}/mod.ts`, HERE).href,
    options,
    permissions: { ...NOTHING, ...permissions },
    onResult: () => {},
  });
  assertEquals(checks.filter(({ ok }) => !ok), []);
  assertEquals([failed, notRun], [0, []]);
}

/** For each example, how the kit is given what it needs. */
const CONFORMANCE: Record<string, () => Promise<void>> = {
  dice: () => conforms("dice"),
  starter: () => conforms("starter", { text: "text", size: 16384 }),
  seeded_rng: () => conforms("seeded_rng", { seed: 1 }),
  odometer: () => conforms("odometer"),
  cow_disk: () =>
    withFolder(async (folder) => {
      const path = `${folder}/disk.img`;
      await Deno.writeFile(path, new Uint8Array(1 << 20));
      const options = { path, maxMemory: 1 << 20 };
      await conforms("cow_disk", options, { read: [path] });
    }),
  http_disk: async () => {
    await using server = new FileServer(new Uint8Array(1 << 20));
    const { url, host } = server;
    const options = { url, cache: 1 << 18 };
    await conforms("http_disk", options, { net: [host] });
  },
  websocket_console: async () => {
    const listen = `127.0.0.1:${freePort()}`;
    await conforms("websocket_console", { listen }, { net: [listen] });
  },
};

Deno.test("Every example has a run of the conformance kit", () => {
  assertEquals(Object.keys(CONFORMANCE).sort(), EXAMPLES);
});

for (const [name, test] of Object.entries(CONFORMANCE)) {
  Deno.test(`The conformance kit passes the example ${name}`, test);
}

Deno.test("The README shows the smallest example as it is", async () => {
  const read = (path: string) => Deno.readTextFile(new URL(path, HERE));
  const code = await read("dice/mod.ts");
  assertEquals(
    (await read("../README.md")).includes(`\n${code}\`\`\`\n`),
    true,
  );
});
