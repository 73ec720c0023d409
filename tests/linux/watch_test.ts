// A plugin is changed while a guest uses it: `run --watch` brings the new code, and the guest goes on.

import { assertEquals, assertStringIncludes } from "@std/assert";
import { withFolder } from "../support/folder.ts";
import { until } from "../support/wait.ts";
import { GUEST_MS } from "./guest.ts";
import { linuxTest } from "./host.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;

/** An entropy device whose every byte is the same. */
const device = (byte: number) => `
import { defineDevice } from "@paddock/paddock/plugin";
export default defineDevice({
  id: 4,
  queues: { requestq: 64 },
  create: () => ({
    queues: {
      requestq: ({ writable }) => writable.fill(${byte}, writable.remaining),
    },
  }),
});
`;

/** Ends when it has read the byte 0x43. */
const SCRIPT = `
for i in $(seq 3000); do
  byte=$(dd if=/dev/hwrng bs=1 count=1 2>/dev/null | od -An -tx1)
  echo "byte:$byte"
  [ "$byte" = " 43" ] && exit
  sleep 0.1
done
`;

linuxTest(
  "run --watch brings a plugin's new code into the running guest",
  () =>
    withFolder(async (folder) => {
      const module = `${folder}/mod.ts`;
      await Deno.writeTextFile(module, device(0x41));
      await Deno.writeTextFile(`${folder}/script.sh`, SCRIPT);
      await Deno.writeTextFile(
        `${folder}/vm.json`,
        JSON.stringify({
          memory: "256M",
          boot: { use: "debian", script: "script.sh" },
          devices: [{ use: "console" }, { use: "./mod.ts", name: "bytes" }],
        }),
      );
      const process = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", MAIN, "run", "--watch", `${folder}/vm.json`],
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
        env: { NO_COLOR: "1" },
      }).spawn();
      const limit = setTimeout(() => process.kill("SIGKILL"), 400_000);
      const texts = ["", ""];
      const copied = [process.stdout, process.stderr].map((from, i) =>
        from.pipeThrough(new TextDecoderStream()).pipeTo(
          new WritableStream({ write: (text) => void (texts[i] += text) }),
        )
      );
      // As editors do: nobody sees half of it.
      const save = async (text: string) => {
        await Deno.writeTextFile(`${module}.new`, text);
        await Deno.rename(`${module}.new`, module);
      };
      await until(
        () => texts[0]!.includes("byte: 41"),
        "the first code",
        GUEST_MS,
      );
      await save(device(0x42));
      await until(
        () => texts[0]!.includes("byte: 42"),
        "the second code",
        GUEST_MS,
      );
      await save("export default 7;");
      await until(
        () => texts[1]!.includes("is not defineDevice"),
        "a refusal",
        GUEST_MS,
      );
      await save(device(0x43));
      const { code } = await process.status;
      clearTimeout(limit);
      await Promise.all(copied);
      assertStringIncludes(texts[0]!, "byte: 43");
      assertStringIncludes(texts[1]!, "its default export is not defineDevice");
      assertEquals(code, 0, texts.join("\n"));
    }),
);
