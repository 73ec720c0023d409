// `paddock plugin new`, and the way of a newcomer after it, as far as it goes without a guest.

import {
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { pluginNew } from "../../../core/cli/plugin_new.ts";
import { UsageError } from "../../../core/cli/usage.ts";
import { HostError } from "../../../core/errors.ts";
import { withFolder } from "../../support/folder.ts";
import { capture } from "./capture.ts";

const FILES = ["README.md", "deno.json", "mod.ts", "mod_test.ts", "vm.json"];

const write = (dir: string, force = false) =>
  capture(() =>
    pluginNew({
      logLevel: "info",
      json: false,
      color: false,
      command: "plugin new",
      dir,
      force,
    })
  );

/** Runs deno in the folder, as its user would. */
async function deno(folder: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: folder,
    env: { NO_COLOR: "1" },
  }).output();
  const text = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes))
    .join("");
  assertEquals(success, true, text);
  return text;
}

Deno.test("plugin new writes a folder whose name is the device's", () =>
  withFolder(async (parent) => {
    const folder = `${parent}/a/heart-beat`;
    const { status, stdout, stderr } = await write(folder);
    assertEquals(status, 0);
    assertEquals(
      stdout.trimEnd().split("\n").sort(),
      FILES.map((file) => `wrote ${folder}/${file}`),
    );
    assertStringIncludes(stderr, `cd ${folder} && deno task start`);
    for (const file of FILES) {
      const text = await Deno.readTextFile(`${folder}/${file}`);
      assertEquals(text.includes("starter"), false, file);
    }
    const manifest = await Deno.readTextFile(`${folder}/vm.json`);
    assertStringIncludes(manifest, '"name": "heart-beat"');
  }));

Deno.test("plugin new overwrites nothing without --force", () =>
  withFolder(async (parent) => {
    const folder = `${parent}/mine`;
    await Deno.mkdir(folder);
    await Deno.writeTextFile(`${folder}/vm.json`, "mine");
    const error = await assertRejects(() => write(folder), UsageError);
    assertEquals(
      (error as Error).message,
      `"${folder}/vm.json" exists already; add --force to overwrite it`,
    );
    assertEquals([...Deno.readDirSync(folder)].length, 1);
    assertEquals((await write(folder, true)).status, 0);
    assertStringIncludes(await Deno.readTextFile(`${folder}/vm.json`), "./mod");
  }));

Deno.test("plugin new refuses what is no name, and says why it cannot write", () =>
  withFolder(async (parent) => {
    for (const name of ["9x", "a b", "ä", ".hidden", "x".repeat(33)]) {
      const error = await assertRejects(
        () => write(`${parent}/${name}`),
        UsageError,
      );
      assertMatch(
        (error as Error).message,
        /cannot be a device's name; take a/,
      );
    }
    await Deno.writeTextFile(`${parent}/file`, "");
    await assertRejects(() => write(`${parent}/file/x`), HostError);
  }));

Deno.test("What plugin new wrote is inspected, checked, typed, formatted and tested in its folder", () =>
  withFolder(async (parent) => {
    const folder = `${parent}/heartbeat`;
    await write(folder);
    const paddock = (...args: string[]) =>
      deno(folder, "task", "paddock", ...args);
    assertMatch(await paddock("plugin", "inspect", "."), /^heartbeat\n/);
    assertStringIncludes(
      await paddock("check"),
      "ok: heartbeat boots Debian's kernel with 1 CPU, 256M and console0, heartbeat",
    );
    assertMatch(await deno(folder, "task", "test"), /2 passed \| 0 failed/);
    await deno(folder, "lint");
    await deno(folder, "fmt", "--check");
    await deno(folder, "check");
    const module = `${folder}/mod.ts`;
    const text = await Deno.readTextFile(module);
    await Deno.writeTextFile(module, text.replace("capacity:", "capacty:"));
    await assertRejects(() => deno(folder, "check"), Error, "capacty");
  }));
