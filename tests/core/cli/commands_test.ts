import { assert, assertEquals, assertRejects } from "@std/assert";
import { parseCliArgs, UsageError } from "../../../core/cli/args.ts";
import { check } from "../../../core/cli/check.ts";
import { COMMANDS, commandsIn } from "../../../core/cli/commands.ts";
import { help, helpPage, version } from "../../../core/cli/help.ts";
import { init } from "../../../core/cli/init.ts";
import { reportError } from "../../../core/cli/output.ts";
import { jsonSchema, schema } from "../../../core/cli/schema.ts";
import { HostError, ManifestError } from "../../../core/errors.ts";
import { loadManifest } from "../../../core/manifest/load.ts";
import { builtInDevices } from "../../../devices/registry.ts";
import { capture } from "./capture.ts";

const GLOBAL = { logLevel: "info", json: false, color: false } as const;

const initArgs = (dir: string, force = false) =>
  ({ ...GLOBAL, command: "init", dir, force }) as const;
const checkArgs = (manifest: string, json = false) =>
  ({ ...GLOBAL, command: "check", manifest, json }) as const;

async function withDir(test: (dir: string) => Promise<void>): Promise<void> {
  const dir = Deno.makeTempDirSync();
  try {
    await test(dir);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

Deno.test("init writes a manifest that loads, and the schema that it names", async () => {
  await withDir(async (dir) => {
    const { status, stdout } = await capture(() =>
      init(initArgs(`${dir}/a/b`), builtInDevices)
    );
    assertEquals(status, 0);
    assertEquals(
      stdout,
      `wrote ${dir}/a/b/vm.json\nwrote ${dir}/a/b/vm.schema.json\n`,
    );
    assertEquals(
      loadManifest(`${dir}/a/b/vm.json`, builtInDevices).devices.length,
      3,
    );
    assert(
      Deno.readTextFileSync(`${dir}/a/b/vm.json`).includes(
        '"$schema": "./vm.schema.json"',
      ),
    );
    JSON.parse(Deno.readTextFileSync(`${dir}/a/b/vm.schema.json`));
  });
});

Deno.test("init overwrites nothing without --force", async () => {
  await withDir(async (dir) => {
    Deno.writeTextFileSync(`${dir}/vm.schema.json`, "mine");
    const error = await assertRejects(
      () => init(initArgs(dir), builtInDevices),
      UsageError,
    );
    assertEquals(
      (error as UsageError).message,
      `"${dir}/vm.schema.json" exists already; add --force to overwrite it`,
    );
    assertEquals([...Deno.readDirSync(dir)].length, 1);
    const { status } = await capture(() =>
      init(initArgs(dir, true), builtInDevices)
    );
    assertEquals(status, 0);
    JSON.parse(Deno.readTextFileSync(`${dir}/vm.schema.json`));
  });
});

Deno.test("init says why it cannot write", async () => {
  await withDir(async (dir) => {
    Deno.writeTextFileSync(`${dir}/file`, "");
    const error = await assertRejects(
      () => init(initArgs(`${dir}/file/x`), builtInDevices),
      HostError,
    );
    assertEquals(
      (error as HostError).message,
      `Cannot write to "${dir}/file/x": Not a directory (os error 20); name a directory that you may write to`,
    );
  });
});

Deno.test("check prints one line for a good manifest", async () => {
  await withDir(async (dir) => {
    const path = `${dir}/a.json`;
    Deno.writeTextFileSync(
      path,
      '{ "cpus": 2, "devices": [{ "use": "rng" }] }',
    );
    const { status, stdout } = await capture(() =>
      check(checkArgs(path), builtInDevices)
    );
    assertEquals(status, 0);
    assertEquals(
      stdout,
      "ok: vm boots Debian's kernel with 2 CPUs, 512M and rng0\n",
    );
  });
});

Deno.test("check --json prints the configuration, or the field and the message", async () => {
  await withDir(async (dir) => {
    const path = `${dir}/a.json`;
    Deno.writeTextFileSync(path, '{ "name": "a" }');
    const run = () =>
      capture(() => check(checkArgs(path, true), builtInDevices));
    const good = await run();
    assertEquals(good.status, 0);
    const { ok, config } = JSON.parse(good.stdout);
    assertEquals([ok, config.name, config.memory], [true, "a", 0x2000_0000]);
    Deno.writeTextFileSync(path, '{ "devices": [{ "use": "rg" }] }');
    const bad = await run();
    assertEquals(bad.status, 2);
    assertEquals(JSON.parse(bad.stdout), {
      ok: false,
      path: "devices[0].use",
      message:
        'devices[0].use: there is no built-in device "rg"; did you mean "rng"?',
    });
  });
});

Deno.test("check fails with a ManifestError where there is no --json", async () => {
  await assertRejects(
    () => check(checkArgs("/none.json"), builtInDevices),
    ManifestError,
  );
});

Deno.test("schema prints a JSON Schema that knows every built-in device and its options", async () => {
  const { status, stdout } = await capture(() =>
    schema({ ...GLOBAL, command: "schema" }, builtInDevices)
  );
  assertEquals(status, 0);
  assertEquals(stdout, `${jsonSchema(builtInDevices)}\n`);
  const { properties, $defs, additionalProperties } = JSON.parse(stdout);
  assertEquals(additionalProperties, false);
  assertEquals(properties.cpus.maximum, 64);
  assertEquals(properties.memory.default, "512M");
  const key = properties.devices.items.$ref.split("/").at(-1);
  const devices: { properties: Record<string, { const?: string }> }[] =
    $defs[key].anyOf;
  assertEquals(
    devices.map(({ properties }) => properties.use?.const),
    ["console", "block", "rng", "vhost-user", undefined],
  );
  assertEquals(
    Object.keys(devices[1]!.properties),
    [
      "use",
      "name",
      "virtio",
      "permissions",
      "isolation",
      "path",
      "size",
      "readOnly",
      "serial",
    ],
  );
});

Deno.test("help fits 80 columns and names every command, option and exit status", async () => {
  const { status, stdout } = await capture(() => help({ topic: undefined }));
  assertEquals(status, 0);
  const page = helpPage();
  assertEquals(stdout, `${page}\n`);
  for (const line of page.split("\n")) assert(line.length <= 80, line);
  for (
    const word of [
      ..."run init check permissions doctor schema explain".split(" "),
      ..."new list inspect test serve --options --socket".split(" "),
      ..."--script --force --json --log-level --no-color --help --version"
        .split(" "),
      ..."Ctrl-A 0 1 2 3 4 5 6 7 129 130 143".split(" "),
    ]
  ) {
    const whole = new RegExp(`(^|[\\s[,])${word}([\\s\\],]|$)`, "m");
    assert(whole.test(page), `${word} is missing`);
  }
});

const EXAMPLE = /^ {2}(paddock[^[\n]*?)(?: {2}|$)/gm;

Deno.test("help shows only commands that parse", () => {
  for (const [, line] of helpPage().matchAll(EXAMPLE)) {
    for (const one of line!.split(" && ")) {
      parseCliArgs(one.trim().split(" ").slice(1));
    }
  }
});

Deno.test("A command's own help fits 80 columns, and has its options, no others, and an example", () => {
  const all = new Set(
    Object.values(COMMANDS).flatMap(({ options }) => options),
  );
  for (const [command, { options }] of Object.entries(COMMANDS)) {
    const page = helpPage(command);
    for (const line of page.split("\n")) assert(line.length <= 80, line);
    assert(page.startsWith("Usage: paddock "), page);
    for (const option of all) {
      const has = new RegExp(`^ +--${option}\\b`, "m").test(page);
      assertEquals(has, options.includes(option), `${command} --${option}`);
    }
    const examples = page.slice(page.search(/^Examples?$/m));
    assert(new RegExp(`^  paddock .*`, "m").test(examples), page);
    assertEquals(page.includes("Exit status\n"), command === "run");
  }
});

Deno.test("The help of a family lists its commands", () => {
  const page = helpPage("plugin");
  for (const command of commandsIn("plugin")) {
    assert(page.includes(`  paddock ${command} `), command);
  }
  assert(!page.includes("paddock doctor"));
});

Deno.test("version prints the version of deno.json", async () => {
  const { stdout } = await capture(version);
  const config = JSON.parse(
    Deno.readTextFileSync(new URL("../../../deno.json", import.meta.url)),
  );
  assertEquals(stdout, `paddock ${config.version}\n`);
});

Deno.test("reportError() prints one line and gives the exit status", async () => {
  const cases: [unknown, number, string][] = [
    [new ManifestError("cpus", "is odd"), 2, "error: cpus: is odd\n"],
    [new UsageError("Unknown"), 2, "error: Unknown\n"],
    [new HostError("No KVM"), 1, "error: No KVM\n"],
  ];
  for (const [error, status, stderr] of cases) {
    assertEquals(
      await capture(() => reportError(error, false)),
      { status, stdout: "", stderr },
    );
  }
});

Deno.test("reportError() shows the stack of an error that nobody expected", async () => {
  const { status, stderr } = await capture(() =>
    reportError(new TypeError("Oh"), false)
  );
  assertEquals(status, 1);
  assert(stderr.startsWith("error: TypeError: Oh\n    at "), stderr);
});
