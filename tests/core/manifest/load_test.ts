import { assertEquals, assertThrows } from "@std/assert";
import { ManifestError } from "../../../core/errors.ts";
import { defaultManifest } from "../../../core/manifest/defaults.ts";
import {
  loadDefault,
  loadManifest,
  parseManifest,
} from "../../../core/manifest/load.ts";
import { builtInDevices } from "../../../devices/registry.ts";
import { withFolder } from "./folder.ts";

/** What loading the file fails with; `$DIR` stands for the folder. */
function messageOf(path: string | URL, dir: string): string {
  const error = assertThrows(
    () => loadManifest(path, builtInDevices),
    ManifestError,
  ) as ManifestError;
  return error.message.replaceAll(dir, "$DIR");
}

Deno.test("loadManifest() resolves paths against the manifest's folder", () => {
  withFolder((dir) => {
    const path = `${dir}/folder/a.json`;
    Deno.writeTextFileSync(path, '\ufeff{ "boot": { "flat": "../kernel" } }');
    const config = loadManifest(path, builtInDevices);
    assertEquals(config.boot, { kind: "flat", flat: `${dir}/kernel` });
    assertEquals(loadManifest(`file://${path}`, builtInDevices), config);
    assertEquals(
      loadManifest(new URL(`file://${path}`), builtInDevices),
      config,
    );
  });
});

Deno.test("loadManifest() refuses what is no manifest file with one line", () => {
  withFolder((dir) => {
    Deno.writeTextFileSync(`${dir}/huge.json`, `{}${" ".repeat(1 << 20)}`);
    Deno.writeFileSync(`${dir}/binary`, Uint8Array.of(0x7f, 0x45, 0xff, 0xfe));
    Deno.writeTextFileSync(`${dir}/syntax.json`, '{\n  "cpus": 1 }}');
    Deno.writeTextFileSync(`${dir}/short.json`, '{ "cpus": 1');
    const lines: [string | URL, string][] = [
      [
        `${dir}/none.json`,
        '"$DIR/none.json" does not exist; correct the path, or write one with paddock init',
      ],
      [`${dir}/folder`, '"$DIR/folder" is a directory; name the vm.json in it'],
      ["/dev/zero", '"/dev/zero" is not a regular file; name a manifest'],
      [
        `${dir}/huge.json`,
        '"$DIR/huge.json" has more than 1 MiB, which no manifest needs; name a manifest',
      ],
      [
        `${dir}/binary`,
        '"$DIR/binary" is not UTF-8 text; name a manifest, not a binary file',
      ],
      [
        `${dir}/kernel/vm.json`,
        '"$DIR/kernel/vm.json" cannot be read: Not a directory (os error 20); correct the path',
      ],
      [
        `${dir}/syntax.json`,
        '"$DIR/syntax.json", line 2, column 14: unexpected "}"; look for a missing comma, quote or bracket',
      ],
      [
        `${dir}/short.json`,
        '"$DIR/short.json", line 1, column 12: the text ends too soon; close every bracket, string and comment',
      ],
      [
        "https://example.org/vm.json",
        'A manifest must be a file here, not "https://example.org/vm.json"; download it first',
      ],
      [
        new URL("file://other/vm.json"),
        '"file://other/vm.json" names another host; name a file of this one',
      ],
    ];
    for (const [path, message] of lines) {
      assertEquals(messageOf(path, dir), message);
    }
  });
});

Deno.test("loadDefault() takes vm.json where there is one, broken or not", () => {
  withFolder((dir) => {
    const fallback = loadDefault(dir, builtInDevices);
    assertEquals(
      fallback,
      parseManifest(defaultManifest(), dir, builtInDevices),
    );
    Deno.writeTextFileSync(`${dir}/vm.json`, '{ "cpus": 2 }');
    assertEquals(loadDefault(dir, builtInDevices).cpus, 2);
    Deno.removeSync(`${dir}/vm.json`);
    Deno.symlinkSync("gone.json", `${dir}/vm.json`);
    assertThrows(() => loadDefault(dir, builtInDevices), ManifestError);
  });
});

Deno.test("The default manifest has a console, a 64 MiB disk and a random number generator", () => {
  withFolder((dir) => {
    Deno.removeSync(`${dir}/disk.img`);
    const config = parseManifest(defaultManifest(), dir, builtInDevices);
    assertEquals(config.memory, 0x2000_0000);
    assertEquals(config.boot.kind, "debian");
    assertEquals(
      config.devices.map((device) => device.name),
      ["console0", "block0", "rng0"],
    );
    assertEquals(config.devices[1]?.disk?.createSize, 0x400_0000);
  });
});

Deno.test("loadManifest() says which permission Deno itself lacks", async () => {
  const path = (name: string) =>
    new URL(`../../../${name}`, import.meta.url).href;
  const script = `
    import { loadManifest } from "${path("core/manifest/load.ts")}";
    import { builtInDevices } from "${path("devices/registry.ts")}";
    try { loadManifest("/etc/hostname", builtInDevices); }
    catch (error) { console.log(error.name, error.message); }`;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      "--config",
      new URL("../../../deno.json", import.meta.url).pathname,
      `data:text/javascript,${encodeURIComponent(script)}`,
    ],
  }).output();
  assertEquals(
    new TextDecoder().decode(stdout),
    'ManifestError "/etc/hostname" cannot be read: Deno was started without --allow-read\n',
  );
});
