import { assertEquals } from "@std/assert";
import { FakeDisk } from "../../tests/support/fake_disk.ts";
import { withFolder } from "../../tests/support/folder.ts";

const OK = 0, IOERR = 1, UNSUPP = 2;
const FLUSH = 4, GET_ID = 8;
const module = new URL("mod.ts", import.meta.url).href;

/** A file of 40 and a half sectors, the n-th filled with n, as a disk with memory for `blocks` pages. */
function withDisk(
  blocks: number,
  test: (disk: FakeDisk, path: string) => Promise<void>,
): Promise<void> {
  return withFolder(async (folder) => {
    const path = `${folder}/disk.img`;
    const bytes = Uint8Array.from({ length: 20736 }, (_, i) => i >> 9);
    await Deno.writeFile(path, bytes);
    await using disk = await FakeDisk.start({
      module,
      builtIn: false,
      options: { path, maxMemory: blocks * 4096 },
      grants: { read: [path] },
    });
    await test(disk, path);
    assertEquals(disk.machine.driverErrors, []);
    assertEquals(disk.machine.faults, []);
    assertEquals(await Deno.readFile(path), bytes);
  });
}

const sectors = (...fills: number[]) =>
  Uint8Array.from({ length: 512 * fills.length }, (_, i) => fills[i >> 9]!);

Deno.test("cow_disk reads the file, up to its last whole sector", () =>
  withDisk(4, async (disk) => {
    assertEquals(await disk.machine.read(0x100), 40);
    assertEquals(await disk.read(6, 2048), [OK, sectors(6, 7, 8, 9)]);
    assertEquals(await disk.read(39, 512), [OK, sectors(39)]);
    assertEquals((await disk.read(39, 1024))[0], IOERR);
    assertEquals((await disk.read(0, 100))[0], IOERR);
  }));

Deno.test("cow_disk keeps what is written, and the rest of its page is the file's", () =>
  withDisk(4, async (disk) => {
    assertEquals(await disk.write(7, sectors(0xb7, 0xb8)), OK);
    assertEquals(await disk.write(39, sectors(0xc9)), OK);
    assertEquals(await disk.write(39, sectors(0xd9)), OK);
    assertEquals(await disk.read(6, 2048), [OK, sectors(6, 0xb7, 0xb8, 9)]);
    assertEquals(await disk.read(38, 1024), [OK, sectors(38, 0xd9)]);
    await disk.machine.reset();
  }));

Deno.test("cow_disk refuses a write that it has no memory for, as a whole", () =>
  withDisk(2, async (disk) => {
    assertEquals(await disk.write(0, sectors(0xa0)), OK);
    assertEquals(await disk.write(15, sectors(0xaf, 0xb0)), IOERR);
    assertEquals(await disk.read(15, 1024), [OK, sectors(15, 16)]);
    await disk.logs(/raise maxMemory/);
    assertEquals(await disk.write(7, sectors(0xa7, 0xa8)), OK);
    assertEquals(await disk.write(1, sectors(0xa1)), OK);
    assertEquals(await disk.write(16, sectors(0xb0)), IOERR);
    assertEquals(await disk.read(7, 1024), [OK, sectors(0xa7, 0xa8)]);
  }));

Deno.test("cow_disk flushes to nowhere, and says so of what it does not know", () =>
  withDisk(1, async (disk) => {
    assertEquals(await disk.command(FLUSH), OK);
    assertEquals(await disk.command(GET_ID), UNSUPP);
  }));

Deno.test("cow_disk answers with an error when its file was cut meanwhile", () =>
  withFolder(async (folder) => {
    const path = `${folder}/disk.img`;
    await Deno.writeFile(path, new Uint8Array(8192));
    await using disk = await FakeDisk.start({
      module,
      builtIn: false,
      options: { path, maxMemory: 4096 },
      grants: { read: [path] },
    });
    await Deno.truncate(path, 4096);
    assertEquals((await disk.read(7, 512))[0], OK);
    assertEquals((await disk.read(8, 512))[0], IOERR);
    assertEquals(await disk.write(8, sectors(1)), IOERR);
    await disk.logs(/cut meanwhile/);
  }));
