import { assert, assertEquals, assertRejects } from "@std/assert";
import { HostError } from "../../../core/errors.ts";
import { RunFolder, runsFolder, sweep } from "../../../core/sys/run_folder.ts";
import { withFolder } from "../../support/folder.ts";

const names = (folder: string) =>
  [...Deno.readDirSync(folder)].map(({ name }) => name).sort();

Deno.test("A run's folder is the user's alone, and goes with it", async () => {
  let path = "";
  {
    await using folder = await RunFolder.create();
    path = folder.path;
    assertEquals(Deno.statSync(path).mode! & 0o777, 0o700);
    Deno.writeTextFileSync(`${path}/socket`, "");
  }
  assert(!await Deno.stat(path).then(() => true, () => false));
});

Deno.test("A folder of runs that another may write to is not used", () =>
  withFolder(async (parent) => {
    const saved = Deno.env.get("TMPDIR");
    Deno.env.set("TMPDIR", parent);
    try {
      const path = runsFolder();
      assertEquals(path, `${parent}/paddock-${Deno.uid()}`);
      await (await RunFolder.create())[Symbol.asyncDispose]();
      assertEquals(Deno.statSync(path).mode! & 0o777, 0o711);
      Deno.chmodSync(path, 0o777);
      const problem =
        `${path} is not this user's alone; remove it, or set TMPDIR to another folder`;
      await assertRejects(() => RunFolder.create(), HostError, problem);
      Deno.removeSync(path);
      Deno.symlinkSync("/root", path);
      await assertRejects(() => RunFolder.create(), HostError, problem);
    } finally {
      if (saved === undefined) Deno.env.delete("TMPDIR");
      else Deno.env.set("TMPDIR", saved);
    }
  }));

Deno.test("sweep() removes what a run that was killed left, and nothing else", () =>
  withFolder(async (parent) => {
    // One whose process was killed, one that runs, one that is being made, and other people's things.
    for (const name of ["run-dead", "run-live", "run-young", "other"]) {
      Deno.mkdirSync(`${parent}/${name}`);
    }
    Deno.writeTextFileSync(`${parent}/run-file`, "");
    Deno.symlinkSync("/etc", `${parent}/run-link`);
    Deno.writeTextFileSync(`${parent}/run-dead/.lock`, "");
    Deno.writeTextFileSync(`${parent}/run-dead/socket`, "");
    using lock = Deno.openSync(`${parent}/run-live/.lock`, {
      create: true,
      write: true,
    });
    lock.lockSync(true);
    await sweep(parent);
    const kept = [
      "other",
      "run-file",
      "run-link",
      "run-live",
    ];
    const young = ["run-dead", "run-young"];
    assertEquals(names(parent), [...kept, ...young].sort());
    await sweep(parent, Date.now() + 120_000);
    assertEquals(names(parent), kept);
  }));
