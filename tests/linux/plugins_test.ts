// The worked examples under plugins/, as Linux uses them.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { Vm } from "../../core/vm.ts";
import { bytesOf } from "../../plugins/seeded_rng/mod.ts";
import { FileServer } from "../support/file_server.ts";
import { withFolder } from "../support/folder.ts";
import { freePort, Typist } from "../support/typist.ts";
import { GUEST_MS, runGuest, valueOf } from "./guest.ts";
import { linuxTest } from "./host.ts";
import { until } from "../support/wait.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const PLUGINS = new URL("../../plugins/", import.meta.url);
const example = (name: string) => new URL(`${name}/mod.ts`, PLUGINS).href;

async function sha256(data: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data)).toHex();
}

/** The same in each run, and no block like another. */
const bytes = (length: number, seed: number) =>
  Uint8Array.from(bytesOf(seed).take(length));

/** Linux takes some bytes for itself first; with quality 0 it takes no more. */
const RNG_SCRIPT = `
echo 0 >/sys/class/misc/hw_random/rng_quality
echo "rng: $(dd if=/dev/hwrng bs=64 count=16 2>/dev/null | xxd -p -c 2048)"
`;

linuxTest(
  "seeded_rng: Linux reads the bytes of its seed, and no other",
  async () => {
    const { text, exit } = await runGuest(RNG_SCRIPT, {
      devices: [{ use: example("seeded_rng"), seed: 7 }],
    });
    assertEquals(exit.reason, "poweroff", text);
    const read = valueOf(text, "rng");
    assertEquals(read.length, 2 * 1024);
    const all = bytes(16 * KiB, 7).toHex();
    const at = all.indexOf(read.slice(0, 32));
    assert(at >= 0 && at % 2 === 0, `${read.slice(0, 32)} is not of the seed`);
    assertEquals(read, all.slice(at, at + read.length));
  },
);

const HTTP_SCRIPT = `
echo "read-only: $(cat /sys/block/vda/ro)"
echo "sha: $(sha256sum </dev/vda)"
echo "cached: $(dd if=/dev/vda bs=64k count=1 iflag=direct 2>/dev/null | wc -c)"
read gone
dd if=/dev/vda of=/dev/null bs=64k count=1 skip=5 iflag=direct && echo "later: read" || echo "later: failed"
echo "alive: $(ls /dev/vda)"
`;

linuxTest(
  "http_disk: Linux reads a whole resource, and lives on when its server dies",
  async () => {
    const content = bytes(4 * MiB + 512, 1);
    await using server = new FileServer(content);
    const { url, host } = server;
    const { text, exit } = await runGuest(HTTP_SCRIPT, {
      devices: [{
        use: example("http_disk"),
        url,
        cache: "1M",
        permissions: { net: [host] },
      }],
      during: async (vm, text) => {
        await until(
          () => text().includes("cached: "),
          "the cached block",
          GUEST_MS,
        );
        await server.die();
        const keys = vm.console!.writable.getWriter();
        await keys.write(new TextEncoder().encode("gone\r"));
      },
    });
    assertEquals(exit.reason, "poweroff", text);
    assertEquals(valueOf(text, "read-only"), "1");
    assertEquals(valueOf(text, "sha"), `${await sha256(content)}  -`);
    assertEquals(valueOf(text, "cached"), "65536");
    assertMatch(text, /^dd: .*Input\/output error$/m);
    assertEquals(valueOf(text, "later"), "failed");
    assertEquals(valueOf(text, "alive"), "/dev/vda");
  },
);

const COW_SCRIPT = `
echo "before: $(sha256sum </dev/vda)"
dd if=/dev/urandom of=/tmp/data bs=64k count=32 2>/dev/null
dd if=/tmp/data of=/dev/vda bs=64k seek=16 conv=fsync 2>/dev/null && echo "write: done"
echo 3 >/proc/sys/vm/drop_caches
dd if=/dev/vda bs=64k skip=16 count=32 2>/dev/null | cmp - /tmp/data && echo "data: same"
dd if=/dev/vda bs=64k count=16 2>/dev/null | sha256sum | sed 's/^/rest: /'
dd if=/dev/zero of=/dev/vda bs=64k seek=48 count=40 oflag=direct 2>/dev/null && echo "much: written" || echo "much: refused"
echo 3 >/proc/sys/vm/drop_caches
dd if=/dev/vda bs=64k skip=16 count=32 2>/dev/null | cmp - /tmp/data && echo "again: same"
`;

linuxTest(
  "cow_disk: Linux reads what it wrote, and the file stays as it was",
  () =>
    withFolder(async (folder) => {
      const path = `${folder}/disk.img`;
      const content = bytes(6 * MiB, 2);
      await Deno.writeFile(path, content);
      await Deno.chmod(path, 0o444);
      const { text, exit } = await runGuest(COW_SCRIPT, {
        devices: [{
          use: example("cow_disk"),
          path,
          maxMemory: "4M",
          permissions: { read: [path] },
        }],
      });
      assertEquals(exit.reason, "poweroff", text);
      const digest = await sha256(content);
      assertEquals(valueOf(text, "before"), `${digest}  -`);
      assertEquals(valueOf(text, "write"), "done");
      assertEquals(valueOf(text, "data"), "same");
      const rest = await sha256(content.slice(0, MiB));
      assertEquals(valueOf(text, "rest"), `${rest}  -`);
      assertEquals(valueOf(text, "much"), "refused");
      assertEquals(valueOf(text, "again"), "same");
      assertEquals(await sha256(await Deno.readFile(path)), digest);
    }),
);

/** The script is on hvc0, the built-in console; whoever types on hvc1 logs in as root. */
const WEBSOCKET_SCRIPT = `
echo root::0:0::/:/bin/sh >/etc/passwd
echo ready
setsid getty -L 0 hvc1 vt100
echo "left: $?"
`;

linuxTest(
  "websocket_console: a client logs in to a shell, and another one watches",
  async () => {
    const listen = `127.0.0.1:${freePort()}`;
    const url = `ws://${listen}`;
    const program = new URL("websocket_console/client.ts", PLUGINS).href;
    const { text, exit } = await runGuest(WEBSOCKET_SCRIPT, {
      devices: [{
        use: example("websocket_console"),
        listen,
        permissions: { net: [listen] },
      }],
      during: async (_vm, text) => {
        await until(() => text().includes("ready\n"), "the devices", GUEST_MS);
        await using watcher = await Typist.connect(url);
        await using terminal = new Deno.Command(Deno.execPath(), {
          args: ["run", `--allow-net=${listen}`, program, url],
          stdin: "piped",
          stdout: "piped",
        }).spawn();
        const output = new Response(terminal.stdout).text();
        const keys = terminal.stdin.getWriter();
        const type = (line: string) =>
          keys.write(new TextEncoder().encode(`${line}\r`));
        await watcher.sees("login: ", 60_000);
        await type("root");
        await watcher.sees("# ", 60_000);
        await type("echo $((6 * 7)) $(tty)");
        await watcher.sees("42 /dev/hvc1\r\n", 60_000);
        await type("exit");
        const seen = await output;
        assertMatch(seen, /42 \/dev\/hvc1\r\n/);
        assertMatch(seen, /The connection to .* is closed/);
      },
    });
    assertEquals(exit.reason, "poweroff", text);
    assertEquals(valueOf(text, "left"), "0");
  },
);

linuxTest("odometer: a driver in shell takes rides", async () => {
  await using vm = await Vm.start(new URL("odometer/vm.json", PLUGINS));
  const limit = setTimeout(() => vm.kill(), 150_000);
  const text = await new Response(vm.console?.readable).text();
  const { reason } = await vm.wait();
  clearTimeout(limit);
  assertEquals(reason, "poweroff", text);
  assertEquals(text.replaceAll("\r", "").match(/^\w+: .*m$/gm), [
    "ride: 1500 m, total 1500 m",
    "ride: 42 m, total 1542 m",
    "trip: 1542 m",
    "trip: 0 m",
    "ride: 8 m, total 1550 m",
    "trip: 8 m",
    "odometer: 1550 m",
  ]);
});
