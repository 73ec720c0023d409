import { assert, assertEquals, assertMatch } from "@std/assert";
import { FakeDisk } from "../../tests/support/fake_disk.ts";
import { FakeMachine } from "../../tests/support/fake_machine.ts";
import {
  FileServer,
  type FileServerOptions,
} from "../../tests/support/file_server.ts";

const OK = 0, IOERR = 1, UNSUPP = 2;
const KiB = 1024;
/** Two blocks of the device's, and the third's first half sector. */
const SIZE = 257 * KiB + 256;
const content = Uint8Array.from({ length: SIZE }, (_, i) => (i * 7) ^ (i >> 9));
const module = new URL("mod.ts", import.meta.url).href;

const options = ({ url, host }: FileServer, cache = 2 * 128 * KiB) => ({
  module,
  builtIn: false,
  options: { url, cache },
  grants: { net: [host] },
});

async function withDisk(
  server: FileServerOptions,
  test: (disk: FakeDisk, server: FileServer) => Promise<void>,
): Promise<void> {
  await using served = new FileServer(content, server);
  await using disk = await FakeDisk.start(options(served));
  await test(disk, served);
  assertEquals(disk.machine.driverErrors, []);
  assertEquals(disk.machine.faults, []);
}

const sectors = (first: number, count: number) =>
  content.subarray(first * 512, (first + count) * 512);

Deno.test("http_disk reads what the server has, block by block, and keeps it", () =>
  withDisk({}, async (disk, { ranges }) => {
    assertEquals(await disk.machine.read(0x100), 514);
    assertEquals(await disk.read(1, 2048), [OK, sectors(1, 4)]);
    assertEquals(await disk.read(254, 2048), [OK, sectors(254, 4)]);
    assertEquals(await disk.read(3, 512), [OK, sectors(3, 1)]);
    assertEquals(ranges, [
      "bytes=0-0",
      "bytes=0-131071",
      "bytes=131072-262143",
    ]);
    // The third block takes the place of the second, which is longer unused.
    assertEquals(await disk.read(512, 1024), [OK, sectors(512, 2)]);
    assertEquals(await disk.read(0, 512), [OK, sectors(0, 1)]);
    assertEquals(ranges.slice(3), ["bytes=262144-263423"]);
    assertEquals(await disk.read(256, 512), [OK, sectors(256, 1)]);
    assertEquals(ranges.slice(4), ["bytes=131072-262143"]);
  }));

Deno.test("http_disk refuses what is not on the disk, and writes", () =>
  withDisk({}, async (disk, { ranges }) => {
    assertEquals((await disk.read(513, 1024))[0], IOERR);
    assertEquals((await disk.read(0, 100))[0], IOERR);
    assertEquals(await disk.write(0, new Uint8Array(512)), IOERR);
    assertEquals(await disk.command(4), UNSUPP);
    assertEquals(ranges.length, 1);
    // The driver may see that it is read-only: VIRTIO_BLK_F_RO.
    await disk.machine.write(0x014, 0);
    assert((await disk.machine.read(0x010)) & (1 << 5));
  }));

Deno.test("http_disk tries again, three times in all, then answers with an error and goes on", () => {
  const failing = new Set([2, 3, 5, 6, 7]);
  const trouble = (count: number) =>
    failing.has(count) ? new Response("busy", { status: 503 }) : null;
  return withDisk({ trouble }, async (disk, { ranges }) => {
    assertEquals(await disk.read(0, 512), [OK, sectors(0, 1)]);
    assertEquals(ranges.length, 4);
    assertEquals((await disk.read(256, 512))[0], IOERR);
    assertEquals(ranges.length, 7);
    await disk.logs(/not served in ranges \(status 503\)/);
    assertEquals(await disk.read(256, 512), [OK, sectors(256, 1)]);
  });
});

for (
  const [what, body, error] of [
    ["less", new Uint8Array(1000), /ended early/],
    ["more", new Uint8Array(200 * KiB), /RangeError/],
  ] as const
) {
  Deno.test(`http_disk does not take ${what} than it asked for`, () =>
    withDisk({
      trouble: (count, first, last) =>
        count === 1 ? null : new Response(body, {
          status: 206,
          headers: {
            "content-range": `bytes ${first}-${last}/${SIZE}`,
            "etag": '"1"',
          },
        }),
    }, async (disk) => {
      assertEquals((await disk.read(0, 512))[0], IOERR);
      await disk.logs(error);
    }));
}

Deno.test("http_disk does not mix versions of a resource", () => {
  let version = '"1"';
  return withDisk({ etag: () => version }, async (disk) => {
    assertEquals(await disk.read(0, 512), [OK, sectors(0, 1)]);
    version = '"2"';
    assertEquals(await disk.read(0, 512), [OK, sectors(0, 1)]);
    assertEquals((await disk.read(256, 512))[0], IOERR);
    await disk.logs(/has changed/);
  });
});

Deno.test("http_disk answers with errors when its server is gone, and can be reset", () =>
  withDisk({}, async (disk, server) => {
    assertEquals(await disk.read(0, 512), [OK, sectors(0, 1)]);
    await server.die();
    assertEquals((await disk.read(256, 512))[0], IOERR);
    assertEquals(await disk.read(2, 512), [OK, sectors(2, 1)]);
    await disk.machine.reset();
  }));

Deno.test("http_disk gives a server that says nothing eight seconds", async () => {
  const silent = Promise.withResolvers<Response>();
  await withDisk({
    trouble: (_, first) => first === 131072 ? silent.promise : null,
  }, async (disk) => {
    const begin = performance.now();
    assertEquals((await disk.read(256, 512))[0], IOERR);
    const seconds = (performance.now() - begin) / 1000;
    assert(seconds > 7 && seconds < 10, `${seconds} s`);
  });
  silent.resolve(new Response());
});

for (
  const [what, server, error] of [
    [
      "gives out the whole only",
      () => new Response(content),
      /not served in ranges \(status 200\)/,
    ],
    [
      "does not say how much there is",
      () =>
        new Response("x", {
          status: 206,
          headers: { "content-range": "bytes 0-0/*" },
        }),
      /not served in ranges \(status 206\)/,
    ],
    [
      "does not have it",
      () => new Response("", { status: 404 }),
      /status 404/,
    ],
  ] as const
) {
  Deno.test(`http_disk is no disk when its server ${what}`, async () => {
    await using served = new FileServer(content, { trouble: server });
    await using machine = await FakeMachine.start(options(served));
    assertMatch(machine.faults.join(), error);
    assertEquals(await machine.read(0x008), 0);
  });
}
