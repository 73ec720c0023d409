import { assert, assertEquals } from "@std/assert";
import { RunFolder, sweep } from "../../../core/sys/run_folder.ts";
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

Deno.test("sweep() removes what a run that was killed left, and nothing else", () =>
  withFolder(async (parent) => {
    // One whose process was killed, one that runs, one that is being made, and other people's things.
    for (const name of ["run-dead", "run-live", "run-young", "other"]) {
      Deno.mkdirSync(`${parent}/paddock-${name}`);
    }
    Deno.writeTextFileSync(`${parent}/paddock-run-file`, "");
    Deno.symlinkSync("/etc", `${parent}/paddock-run-link`);
    Deno.writeTextFileSync(`${parent}/paddock-run-dead/.lock`, "");
    Deno.writeTextFileSync(`${parent}/paddock-run-dead/socket`, "");
    using lock = Deno.openSync(`${parent}/paddock-run-live/.lock`, {
      create: true,
      write: true,
    });
    lock.lockSync(true);
    await sweep(parent);
    const kept = [
      "paddock-other",
      "paddock-run-file",
      "paddock-run-link",
      "paddock-run-live",
    ];
    const young = ["paddock-run-dead", "paddock-run-young"];
    assertEquals(names(parent), [...kept, ...young].sort());
    await sweep(parent, Date.now() + 120_000);
    assertEquals(names(parent), kept);
  }));
