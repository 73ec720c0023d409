import { assert, assertEquals } from "@std/assert";
import { HostDisk } from "../../core/device/host_disk.ts";
import type { FakeRing } from "../support/fake_driver.ts";
import { withFolder } from "../support/folder.ts";
import { builtIn, FakeMachine } from "../support/fake_machine.ts";

const OK = 0, IOERR = 1, UNSUPP = 2;
const IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13;
const MiB = 1 << 20;
const SIZE = MiB + 512; // an odd number of sectors
const HEADER = 0x8000, STATUS = 0x8800, DATA = 0x20000;

/** A block device over a temporary image whose sector n is filled with n. */
class Disk implements AsyncDisposable {
  machine!: FakeMachine;
  ring!: FakeRing;
  readonly path: string;
  #host!: HostDisk;

  private constructor(dir: string | undefined) {
    this.path = Deno.makeTempFileSync(dir === undefined ? {} : { dir });
  }

  static async start(
    options: {
      readOnly?: boolean;
      size?: number;
      holes?: boolean;
      /** Bytes of an image that has none on the host. */
      sparse?: number;
      folder?: string;
      /** Descriptors of the ring. */
      queue?: number;
    } = {},
  ): Promise<Disk> {
    const { readOnly = false, size = SIZE, holes = true, queue = 8 } = options;
    const disk = new Disk(options.folder);
    const { path } = disk;
    if (options.sparse === undefined) {
      const image = new Uint8Array(size);
      for (let at = 0; at < size; at += 512) {
        image.fill((at / 512) & 0xff, at, at + 512);
      }
      Deno.writeFileSync(path, image);
    } else Deno.truncateSync(path, options.sparse);
    const host = new HostDisk(
      { field: "path", path, writable: !readOnly, createSize: undefined },
      "devices[0]",
    );
    disk.#host = host;
    disk.machine = await FakeMachine.start({
      module: builtIn("block"),
      options: { path, readOnly, serial: "PDCK-1" },
      grants: { read: [path], ...(readOnly ? {} : { write: [path] }) },
      punchHole: (at, length) => holes && host.punchHole(at, length),
    });
    disk.ring = await disk.machine.bringUp(queue);
    return disk;
  }

  /** Has the device's code start anew. */
  async again(): Promise<void> {
    const { machine, path } = this;
    machine.host.reload({ path, readOnly: false, serial: "" });
    await machine.reset();
    this.ring = await machine.bringUp(8);
  }

  /** Does a request; `data` are the buffers between header and status byte. Returns status and used length. */
  async request(
    type: number,
    sector: number | bigint,
    ...data: { at: number; length: number; write?: boolean }[]
  ): Promise<[status: number, length: number]> {
    const { machine, ring } = this;
    ring.view.setUint32(HEADER, type, true);
    ring.view.setUint32(HEADER + 4, 0xdead_beef, true);
    ring.view.setBigUint64(HEADER + 8, BigInt(sector), true);
    machine.bytes[STATUS] = 0x77;
    ring.add({ at: HEADER, length: 16 }, ...data, {
      at: STATUS,
      length: 1,
      write: true,
    });
    machine.kick();
    const [used] = await machine.used(ring, 1);
    return [machine.bytes[STATUS]!, used!.length];
  }

  /** Writes the ranges of a discard or write-zeroes request to DATA. */
  ranges(...ranges: [sector: number | bigint, count: number, flags: number][]) {
    ranges.forEach(([sector, count, flags], i) => {
      this.ring.view.setBigUint64(DATA + 16 * i, BigInt(sector), true);
      this.ring.view.setUint32(DATA + 16 * i + 8, count, true);
      this.ring.view.setUint32(DATA + 16 * i + 12, flags, true);
    });
    return { at: DATA, length: 16 * ranges.length };
  }

  get file(): Uint8Array {
    return Deno.readFileSync(this.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine[Symbol.asyncDispose]();
    this.#host.close();
    Deno.removeSync(this.path);
  }
}

const into = (length: number, at = DATA) => ({ at, length, write: true });
const from = (length: number, at = DATA) => ({ at, length });

Deno.test("block: reads land in the driver's buffers, whatever their cut", async () => {
  await using disk = await Disk.start();
  const { bytes } = disk.machine;
  assertEquals(
    await disk.request(
      IN,
      3,
      into(100),
      into(412, 0x30000),
      into(512, 0x40000),
    ),
    [OK, 1025],
  );
  assertEquals([bytes[DATA], bytes[DATA + 99], bytes[DATA + 100]], [3, 3, 0]);
  assertEquals([bytes[0x30000 + 411], bytes[0x40000]], [3, 4]);
  assertEquals(await disk.request(IN, 2048, into(512)), [OK, 513]);
});

Deno.test("block: writes reach the file, and a flush says so", async () => {
  await using disk = await Disk.start();
  disk.machine.bytes.fill(0xa5, DATA, DATA + 1024);
  assertEquals(await disk.request(OUT, 7, from(700), from(324)), [OK, 1]);
  assertEquals(await disk.request(FLUSH, 0), [OK, 1]);
  const { file } = disk;
  assertEquals(file.length, SIZE);
  assertEquals(
    [file[7 * 512 - 1], file[7 * 512], file[9 * 512 - 1], file[9 * 512]],
    [6, 0xa5, 0xa5, 9],
  );
});

Deno.test("block: requests past the end and of odd lengths are errors, and write nothing", async () => {
  await using disk = await Disk.start();
  const before = disk.file;
  for (
    const [what, sector, length] of [
      ["one sector past the end", 2049, 512],
      ["across the end", 2048, 1024],
      ["at sector 2^53", 2n ** 53n, 512],
      ["at the last sector of 2^64", 2n ** 64n - 1n, 512],
      ["of an odd length", 0, 511],
      ["of one byte", 0, 1],
      ["of 513 bytes", 0, 513],
    ] as const
  ) {
    assertEquals(
      (await disk.request(IN, sector, into(length)))[0],
      IOERR,
      what,
    );
    const data = disk.machine.bytes.subarray(DATA, DATA + length);
    assert(data.every((byte) => byte === 0), what);
    assertEquals(
      (await disk.request(OUT, sector, from(length)))[0],
      IOERR,
      what,
    );
    assertEquals(disk.file, before, what);
  }
  assertEquals((await disk.request(IN, 0, into(512)))[0], OK);
});

Deno.test("block: unknown request types are not supported", async () => {
  await using disk = await Disk.start();
  for (const type of [2, 3, 5, 14, 0x8000_0000, 0xffff_ffff]) {
    assertEquals((await disk.request(type, 0, into(512)))[0], UNSUPP);
  }
});

Deno.test("block: GET_ID gives the serial, padded, as far as there is room", async () => {
  await using disk = await Disk.start();
  assertEquals(await disk.request(GET_ID, 0, into(20)), [OK, 21]);
  const id = disk.machine.bytes.slice(DATA, DATA + 20);
  assertEquals(
    new TextDecoder().decode(id).replaceAll("\0", "."),
    "PDCK-1..............",
  );
  disk.machine.bytes.fill(0, DATA, DATA + 20);
  assertEquals((await disk.request(GET_ID, 0, into(4)))[0], OK);
  assertEquals(
    disk.machine.bytes.slice(DATA, DATA + 6),
    new TextEncoder().encode("PDCK\0\0"),
  );
});

Deno.test("block: a read-only disk refuses every way to change it", async () => {
  await using disk = await Disk.start({ readOnly: true });
  const before = disk.file;
  assertEquals(
    (await disk.machine.read(0x010) >>> 5) & 1,
    1,
    "VIRTIO_BLK_F_RO",
  );
  assertEquals((await disk.request(OUT, 0, from(512)))[0], IOERR);
  const range = disk.ranges([0, 8, 0]);
  assertEquals((await disk.request(DISCARD, 0, range))[0], IOERR);
  assertEquals((await disk.request(WRITE_ZEROES, 0, range))[0], IOERR);
  assertEquals((await disk.request(FLUSH, 0))[0], OK);
  assertEquals((await disk.request(IN, 0, into(512)))[0], OK);
  assertEquals(disk.file, before);
});

Deno.test("block: a disk that is cut under the guest is an error, not zeros", async () => {
  await using disk = await Disk.start();
  Deno.truncateSync(disk.path, 1000);
  assertEquals((await disk.request(IN, 0, into(512)))[0], OK);
  assertEquals((await disk.request(IN, 1, into(512)))[0], IOERR);
  assertEquals((await disk.request(IN, 100, into(512)))[0], IOERR);
  assertEquals((await disk.request(OUT, 100, from(512)))[0], OK);
});

Deno.test("block: a request of more than 64 MiB is refused before a byte moves", async () => {
  await using disk = await Disk.start({ sparse: 128 * MiB, queue: 128 });
  // One buffer many times: what bounds a request is its length, not the memory that it names.
  const many = (write: boolean) =>
    Array.from({ length: 120 }, () => ({ at: DATA, length: 0x90000, write }));
  disk.machine.bytes[DATA] = 0x5a;
  for (const [type, write] of [[IN, true], [OUT, false]] as const) {
    assertEquals((await disk.request(type, 0, ...many(write)))[0], IOERR);
  }
  assertEquals(disk.machine.bytes[DATA], 0x5a);
  assertEquals((await disk.request(IN, 0, into(512)))[0], OK);
});

Deno.test({
  name: "block: a host without room answers with errors, and the disk goes on",
  ignore: Deno.uid() !== 0,
  fn: () =>
    withFolder(async (folder) => {
      const mount = (...args: string[]) =>
        new Deno.Command("mount", { args }).output();
      const { success } = await mount(
        ...["-t", "tmpfs", "-o", "size=1M", "none", folder],
      );
      assertEquals(success, true);
      try {
        await using disk = await Disk.start({ folder, sparse: 8 << 20 });
        const write = async (sector: number) =>
          (await disk.request(OUT, sector, from(0x20000)))[0];
        const statuses: number[] = [];
        for (let i = 0; i < 12; i++) statuses.push(await write(i * 256));
        assertEquals(statuses[0], OK);
        assertEquals(statuses.at(-1), IOERR);
        // What was acknowledged is there, and what has its blocks can be written again.
        assertEquals((await disk.request(IN, 0, into(512)))[0], OK);
        assertEquals(await write(0), OK);
        assertEquals((await disk.request(FLUSH, 0))[0], OK);
        assertEquals(disk.machine.faults, []);
      } finally {
        await new Deno.Command("umount", { args: ["-l", folder] }).output();
      }
    }),
});

Deno.test("block: what a guest writes is never taken for another format", async () => {
  await using disk = await Disk.start();
  const magic = [0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3]; // qcow2
  disk.machine.bytes.set(magic, DATA);
  assertEquals((await disk.request(OUT, 0, from(512)))[0], OK);
  await disk.again();
  assertEquals((await disk.request(IN, 0, into(512)))[0], OK);
  assertEquals([...disk.machine.bytes.slice(DATA, DATA + 8)], magic);
  assertEquals(await disk.machine.read(0x100), SIZE / 512);
});

Deno.test("block: a discard gives the host its blocks back, and reads as zeros", async () => {
  await using disk = await Disk.start();
  const blocks = () => Deno.statSync(disk.path).blocks!;
  await disk.request(FLUSH, 0);
  const before = blocks();
  const ranges = disk.ranges([0, 512, 0], [1024, 512, 0]);
  assertEquals((await disk.request(DISCARD, 0, ranges))[0], OK);
  assert(blocks() <= before - 1000, `${before} to ${blocks()} blocks`);
  const { file } = disk;
  assertEquals([file[0], file[512 * 512 - 1], file[512 * 513]], [0, 0, 1]);
  assertEquals(file.length, SIZE);
});

for (const holes of [true, false]) {
  Deno.test(`block: write zeroes zeroes, ${holes ? "with" : "without"} holes`, async () => {
    await using disk = await Disk.start({ holes });
    for (const [sector, flags] of [[8, 0], [40, 1]] as const) {
      const range = disk.ranges([sector, 9, flags]);
      assertEquals((await disk.request(WRITE_ZEROES, 0, range))[0], OK);
      const { file } = disk;
      assertEquals(file[sector * 512 - 1], sector - 1);
      assert(
        file.subarray(sector * 512, (sector + 9) * 512).every((byte) =>
          byte === 0
        ),
      );
      assertEquals(file[(sector + 9) * 512], sector + 9);
    }
  });
}

Deno.test("block: discards and zeroes that are too many, too large or past the end are refused", async () => {
  await using disk = await Disk.start();
  const before = disk.file;
  const answer = async (
    type: number,
    ...ranges: [number | bigint, number, number][]
  ) => (await disk.request(type, 0, disk.ranges(...ranges)))[0];
  assertEquals(await answer(DISCARD, [0, 0xffff_ffff, 0]), IOERR);
  assertEquals(await answer(DISCARD, [2048, 2, 0]), IOERR);
  assertEquals(await answer(DISCARD, [2n ** 64n - 1n, 1, 0]), IOERR);
  assertEquals(await answer(DISCARD, [0, 8, 0], [4000, 1, 0]), IOERR);
  assertEquals(await answer(DISCARD, [0, 8, 1]), UNSUPP, "UNMAP is for zeroes");
  assertEquals(await answer(WRITE_ZEROES, [0, 8, 2]), UNSUPP);
  assertEquals(await answer(WRITE_ZEROES, [0, 1, 0], [1, 1, 0]), IOERR);
  const many = Array.from(
    { length: 17 },
    () => [0, 8, 0] as [number, number, number],
  );
  assertEquals(await answer(DISCARD, ...many), IOERR);
  assertEquals((await disk.request(DISCARD, 0))[0], IOERR);
  assertEquals((await disk.request(DISCARD, 0, from(15)))[0], IOERR);
  assertEquals(disk.file, before);
});

Deno.test("block: a request without room for its status is given back", async () => {
  await using disk = await Disk.start();
  disk.ring.add({ at: HEADER, length: 16 });
  disk.machine.kick();
  assertEquals((await disk.machine.used(disk.ring, 1))[0]!.length, 0);
});

Deno.test("block: a header that is cut short is answered with an error, and needs a reset", async () => {
  await using disk = await Disk.start();
  disk.ring.add({ at: HEADER, length: 15 }, {
    at: STATUS,
    length: 1,
    write: true,
  });
  disk.machine.kick();
  await disk.machine.needsReset();
  await disk.machine.used(disk.ring, 1);
  assertEquals(disk.machine.bytes[STATUS], 1);
  await disk.machine.reset();
  disk.ring = await disk.machine.bringUp(8);
  assertEquals((await disk.request(IN, 0, into(512)))[0], OK);
});

Deno.test("block: the configuration space gives the size in sectors and the limits", async () => {
  await using disk = await Disk.start({ size: 4096 * 3 + 700 });
  const word = (offset: number) => disk.machine.read(0x100 + offset);
  assertEquals([await word(0), await word(4)], [25, 0]);
  assertEquals([await word(12), await word(20)], [254, 512]);
  assertEquals([await word(36), await word(40), await word(44)], [
    65536,
    16,
    8,
  ]);
  assertEquals([await word(48), await word(52)], [65536, 1]);
});
