// Linux's hvc0 and hwrng with Paddock's console and rng.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Vm } from "../../core/vm.ts";
import { GUEST_MS, runGuest, valueOf } from "./guest.ts";
import { withFolder } from "../support/folder.ts";
import { linuxTest } from "./host.ts";
import { until } from "../support/wait.ts";

/** More than what is kept or in flight anywhere. */
const LARGE = 100_000;
/** 4 KB: Linux gives the console 16 bytes at a time, which takes a while in the lab. */
const LINES = 1000;
const SCRIPT = `
dd if=/dev/hwrng of=/tmp/r bs=4096 count=8 2>/dev/null
echo "rng: $(wc -c </tmp/r) bytes, packed $(gzip -c /tmp/r | wc -c)"
size_becomes() {
  for i in $(seq 100); do [ "$(stty size 2>/dev/null)" = "$1" ] && break; usleep 50000; done
  stty size
}
echo "size: $(size_becomes "43 132")"
echo ready
echo "resized: $(size_becomes "30 100")"
read line
echo "line: $line"
stty raw -echo
echo more
head -c ${LARGE} | sha256sum | sed 's/^/large: /'
stty sane
`;

linuxTest(
  "A guest reads what is typed, sees resizes, and gets random bytes",
  async () => {
    const large = new Uint8Array(LARGE).map((_, i) => 32 + i * 7 % 90);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", large))
      .toHex();
    const { text, exit } = await runGuest(SCRIPT, {
      devices: [{ use: "rng" }],
      during: async (vm, text) => {
        const keys = vm.console!.writable.getWriter();
        const type = (typed: string) =>
          keys.write(new TextEncoder().encode(typed));
        vm.console!.resize(132, 43);
        await until(() => text().includes("ready\n"), "prompt", GUEST_MS);
        vm.console!.resize(100, 30);
        await until(() => text().includes("resized: "), "new size", GUEST_MS);
        await type("hello gu\x7f\x7fthere\r");
        await until(() => text().includes("more"), "next prompt", GUEST_MS);
        for (let at = 0; at < LARGE; at += 10_000) {
          await keys.write(large.subarray(at, at + 10_000));
        }
      },
    });
    assertEquals(exit.reason, "poweroff", text);
    assertEquals(valueOf(text, "size"), "43 132");
    assertEquals(valueOf(text, "resized"), "30 100");
    assertEquals(valueOf(text, "line"), "hello there");
    // The terminal echoes what is typed, and rubs out what is erased.
    assertStringIncludes(text, "hello gu\b \b\b \bthere\n");
    assertEquals(valueOf(text, "large"), `${digest}  -`);
    const [bytes, packed] = valueOf(text, "rng").match(/\d+/g)!.map(Number);
    assertEquals(bytes, 32768);
    assert(packed! > 32768, `${packed} bytes after gzip`);
  },
);

linuxTest(
  "A guest whose console nobody reads ends normally",
  () =>
    withFolder(async (folder) => {
      const script = `${folder}/script.sh`;
      await Deno.writeTextFile(script, `seq 1 ${LINES}`);
      await using vm = await Vm.start({
        memory: "256M",
        boot: { use: "debian", script },
        devices: [{ use: "console" }],
      });
      const limit = setTimeout(() => vm.kill(), 150_000);
      assertEquals((await vm.wait()).reason, "poweroff");
      clearTimeout(limit);
    }),
);

linuxTest("A slow reader of the console gets every byte", async () => {
  await withFolder(async (folder) => {
    const script = `${folder}/script.sh`;
    await Deno.writeTextFile(script, `seq 1 ${LINES}`);
    await using vm = await Vm.start({
      memory: "256M",
      boot: { use: "debian", script },
      devices: [{ use: "console" }],
    });
    const limit = setTimeout(() => vm.kill(), 150_000);
    let [text, chunks] = ["", 0];
    for await (
      const chunk of vm.console!.readable.pipeThrough(new TextDecoderStream())
    ) {
      text += chunk;
      if (++chunks % 5 === 0) {
        await new Promise((next) => setTimeout(next, 20));
      }
    }
    clearTimeout(limit);
    const all = Array.from({ length: LINES }, (_, i) => `${i + 1}\r\n`);
    // A string of this length makes no readable difference.
    assert(text.startsWith(all.join("")), `${text.length} characters came`);
  });
});
