// `deno task start` up to where a machine would start.

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { withFolder } from "../support/folder.ts";
import { sizeOf } from "./interactive.ts";

const START = new URL("./start.ts", import.meta.url).pathname;

async function start(args: readonly string[], cwd: string) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", START, ...args],
    cwd,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("start says what is wrong with a manifest or its plugins before it boots anything", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(
      `${folder}/device.ts`,
      `export default { id: 4, queues: { requestq: 8 }, permissions: { env: ["HOME"] }, create() {} };`,
    );
    const wrong = [
      [{ cpus: 0 }, "cpus"],
      [{ devices: [{ use: "./device.ts" }] }, "devices[0].permissions.env"],
      [{ devices: [{ use: "./device.ts", odd: 1 }] }, "devices[0].odd"],
    ] as const;
    for (const [manifest, field] of wrong) {
      await Deno.writeTextFile(`${folder}/vm.json`, JSON.stringify(manifest));
      const { code, stderr } = await start(["vm.json"], folder);
      assertEquals(code, 2, stderr);
      assertMatch(stderr, /^error: [^\n]+\n$/);
      assert(stderr.startsWith(`error: ${field}: `), stderr);
    }
  }));

Deno.test("start --help is the help of run", async () => {
  const { code, stdout } = await start(["--help"], ".");
  assertEquals(code, 0);
  assertStringIncludes(stdout, "Usage: paddock [run] [manifest]");
});

Deno.test("A terminal without a size gets the usual one", () => {
  assertEquals(sizeOf({ rows: 50, columns: 132 }), { rows: 50, columns: 132 });
  for (const rows of [0, 24]) {
    const usual = { rows: 24, columns: 80 };
    assertEquals(sizeOf({ rows, columns: 0 }), usual);
  }
});
