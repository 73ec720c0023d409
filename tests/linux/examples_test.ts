// The examples of the library run with real guests: Debian's with a script, and the manifest in a folder.

import { assertEquals, assertStringIncludes } from "@std/assert";
import { hello } from "../kvm/hello.ts";
import { examplesOf } from "../support/examples.ts";
import { withFolder } from "../support/folder.ts";
import { linuxTest } from "./host.ts";

const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** Runs a file's one example in a folder with `vm.json` and `test.sh`; returns what it prints. */
function runExample(file: string): Promise<string> {
  return withFolder(async (folder) => {
    const [example] = examplesOf(file);
    await Deno.writeTextFile(`${folder}/example.ts`, example!.code);
    await Deno.writeTextFile(`${folder}/vm.json`, JSON.stringify(hello()));
    await Deno.writeTextFile(`${folder}/test.sh`, "echo from $(uname -s)\n");
    const { success, stdout, stderr } = await new Deno.Command(
      Deno.execPath(),
      {
        args: ["run", "-A", "--no-check", `--config=${CONFIG}`, "example.ts"],
        cwd: folder,
        env: { NO_COLOR: "1" },
      },
    ).output();
    assertEquals(success, true, new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout);
  });
}

linuxTest("The example of core/mod.ts boots Debian with a script", async () => {
  assertStringIncludes(await runExample("core/mod.ts"), "from Linux");
});

linuxTest("The example of Vm runs the manifest of its folder", async () => {
  assertStringIncludes(await runExample("core/vm.ts"), "Goodbye");
});
