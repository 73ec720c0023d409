// What the specification asks of a block device in particular: virtio-v1.3 §2.7.4.1, §5.2.
import { assertEquals } from "@std/assert";
import type { Buffer, FakeRing } from "../support/fake_driver.ts";
import { builtIn, FakeMachine } from "../support/fake_machine.ts";

const IN = 0, OUT = 1, FLUSH = 4, WRITE_ZEROES = 13;
const HEADER = 0x8000, STATUS = 0x8800, DATA = 0x20000;
const F_FLUSH = 1 << 9;
const status = { at: STATUS, length: 1, write: true };

class Disk implements AsyncDisposable {
  ring!: FakeRing;
  private constructor(
    readonly machine: FakeMachine,
    readonly path: string,
  ) {}

  static async start(path: string, features: number, readOnly = false) {
    const machine = await FakeMachine.start({
      module: builtIn("block"),
      options: { path, readOnly, serial: "" },
      grants: { read: [path], write: readOnly ? [] : [path] },
    });
    const disk = new Disk(machine, path);
    disk.ring = await machine.bringUp(16, features);
    return disk;
  }

  /** A disk of eight sectors; the n-th is filled with n + 1. */
  static temporary(features = F_FLUSH): Promise<Disk> {
    const path = Deno.makeTempFileSync();
    const image = new Uint8Array(4096).map((_, at) => 1 + (at >> 9));
    Deno.writeFileSync(path, image);
    return Disk.start(path, features);
  }

  header(type: number, sector: number): void {
    this.ring.view.setUint32(HEADER, type, true);
    this.ring.view.setUint32(HEADER + 4, 0, true);
    this.ring.view.setBigUint64(HEADER + 8, BigInt(sector), true);
    this.machine.bytes[STATUS] = 0x77;
  }

  async chain(...buffers: Buffer[]): Promise<number> {
    this.ring.add(...buffers);
    this.machine.kick();
    return (await this.machine.used(this.ring, 1))[0]!.length;
  }

  /** Returns the status byte. */
  async request(type: number, sector: number, ...data: Buffer[]) {
    this.header(type, sector);
    await this.chain({ at: HEADER, length: 16 }, ...data, status);
    return this.machine.bytes[STATUS]!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine[Symbol.asyncDispose]();
    if (this.path !== "/dev/null") Deno.removeSync(this.path);
  }
}

Deno.test("A block request may be cut into descriptors anywhere", async () => {
  await using disk = await Disk.temporary();
  const { bytes } = disk.machine;
  disk.header(IN, 2);
  // A header in three pieces; data and status in one.
  await disk.chain(
    { at: HEADER, length: 1 },
    { at: HEADER + 1, length: 9 },
    { at: HEADER + 10, length: 6 },
    { at: DATA, length: 513, write: true },
  );
  assertEquals([bytes[DATA], bytes[DATA + 511], bytes[DATA + 512]], [3, 3, 0]);
  // Header and data in one.
  disk.header(OUT, 5);
  bytes.fill(0xa5, HEADER + 16, HEADER + 528);
  await disk.chain({ at: HEADER, length: 528 }, status);
  assertEquals(bytes[STATUS], 0);
  assertEquals(
    Deno.readFileSync(disk.path).slice(2559, 3073),
    new Uint8Array([
      5,
      ...new Uint8Array(512).fill(0xa5),
      7,
    ]),
  );
});

Deno.test("A block device takes no data from a writable buffer", async () => {
  await using disk = await Disk.temporary();
  const before = Deno.readFileSync(disk.path);
  disk.machine.bytes.fill(0xa5, DATA, DATA + 512);
  await disk.request(OUT, 1, { at: DATA, length: 512, write: true });
  assertEquals(Deno.readFileSync(disk.path), before);
});

Deno.test("A block device claims no byte that it did not write", async () => {
  await using disk = await Disk.temporary();
  Deno.truncateSync(disk.path, 600);
  disk.header(IN, 0);
  disk.machine.bytes.fill(0x5a, DATA, DATA + 1024);
  const length = await disk.chain(
    { at: HEADER, length: 16 },
    { at: DATA, length: 1024, write: true },
    status,
  );
  assertEquals(disk.machine.bytes[STATUS], 1);
  const written = disk.machine.bytes.subarray(DATA, DATA + length);
  assertEquals(written.some((byte) => byte === 0x5a), false);
});

Deno.test("Sectors read as zeros after write zeroes, with unmap and without", async () => {
  for (const unmap of [0, 1]) {
    await using disk = await Disk.temporary();
    const { bytes } = disk.machine;
    const { view } = disk.ring;
    view.setBigUint64(DATA, 2n, true);
    view.setUint32(DATA + 8, 3, true);
    view.setUint32(DATA + 12, unmap, true);
    const range = { at: DATA, length: 16 };
    assertEquals(await disk.request(WRITE_ZEROES, 0, range), 0);
    const into = { at: DATA, length: 4096, write: true };
    assertEquals(await disk.request(IN, 0, into), 0);
    const sectors = [0, 1, 2, 3, 4, 5].map((i) => bytes[DATA + 512 * i]);
    assertEquals(sectors, [1, 2, 0, 0, 0, 6]);
  }
});

Deno.test("A write is on the disk when it is answered, where FLUSH was not negotiated", async () => {
  // Writing no data there works, syncing does not: so the status tells whether it was tried.
  for (const [features, expected] of [[F_FLUSH, 0], [0, 1]] as const) {
    await using disk = await Disk.start("/dev/null", features);
    assertEquals(await disk.request(OUT, 0), expected);
    assertEquals(await disk.request(FLUSH, 0), 1, "a flush always tries");
  }
});

Deno.test("Requests of zoned devices, and others that are not offered, are not supported", async () => {
  await using disk = await Disk.temporary();
  const before = Deno.readFileSync(disk.path);
  const into = { at: DATA, length: 512, write: true };
  for (const type of [10, 14, 15, 16, 18, 20, 22, 24, 26]) {
    assertEquals(await disk.request(type, 0, into), 2, `type ${type}`);
  }
  assertEquals(Deno.readFileSync(disk.path), before);
});

Deno.test("The padding of a block device's configuration space is 0", async () => {
  await using disk = await Disk.temporary();
  for (const at of [33, 57, 58, 59]) {
    assertEquals(await disk.machine.read(0x100 + at, 1), 0);
  }
  assertEquals(disk.machine.driverErrors, []);
});
