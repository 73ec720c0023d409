// The way of a newcomer: `plugin new`, the device in a Linux guest, its code changed while the guest reads it.

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { withFolder } from "../support/folder.ts";
import { linuxTest } from "./host.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;

const LIMIT_MS = 300_000;
const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** Reads the disk's first line until the code that makes it has changed. */
const SCRIPT = `
head -n 2 /dev/vda
for i in $(seq 3000); do
  line=$(head -n 1 /dev/vda)
  echo "line: $line"
  case "$line" in *changed*) exit ;; esac
  sleep 0.1
done
`;

linuxTest(
  "What plugin new writes works in a Linux guest, and is reloaded into it when it changes",
  () =>
    withFolder(async (parent) => {
      const folder = `${parent}/heartbeat`;
      const created = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", MAIN, "plugin", "new", folder],
      }).output();
      assertEquals(created.code, 0);
      await Deno.writeTextFile(`${folder}/script.sh`, SCRIPT);
      // What its `start` task does where the host's KVM runs Linux.
      const args = ["run", "--watch", "--script", "script.sh", "vm.json"];
      const process = new Deno.Command(Deno.execPath(), {
        args: ["task", "paddock", ...args],
        cwd: folder,
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
        env: { NO_COLOR: "1" },
      }).spawn();
      const limit = setTimeout(() => process.kill("SIGKILL"), LIMIT_MS);
      const texts = ["", ""];
      const copied = [process.stdout, process.stderr].map((from, i) =>
        from.pipeThrough(new TextDecoderStream()).pipeTo(
          new WritableStream({ write: (text) => void (texts[i] += text) }),
        )
      );
      const change = async () => {
        const first = "line: 0: hello from vm.json";
        while (!texts[0]!.includes(first)) await sleep(50);
        const module = `${folder}/mod.ts`;
        const text = await Deno.readTextFile(module);
        const changed = text.replace("${number}: ${text}", "changed ${number}");
        await Deno.writeTextFile(module, changed);
      };
      await Promise.race([change(), process.status]);
      const { code } = await process.status;
      clearTimeout(limit);
      await Promise.all(copied);
      const all = texts.join("\n");
      assertEquals(code, 0, all);
      assertMatch(all, /0: hello from vm.json *\r?\n1: hello from vm/);
      assertStringIncludes(all, "line: changed 0");
    }),
);
