import { assertEquals, assertThrows } from "@std/assert";
import { DriverError } from "../../../core/errors.ts";
import { RamView } from "../../../core/virtio/ram_view.ts";
import { SplitQueue } from "../../../core/virtio/split_queue.ts";
import { type Buffer, fakeRam, FakeRing } from "../../support/fake_driver.ts";

function chainOf(...buffers: Buffer[]) {
  const ram = fakeRam();
  const ring = new FakeRing(ram, 64);
  const bytes = new Uint8Array(ram.buffer);
  for (let i = 0; i < 256; i++) bytes[0x8000 + i] = i;
  const queue = new SplitQueue(new RamView(ram), ring.setup());
  ring.add(...buffers);
  return { chain: queue.pop()!, bytes };
}

Deno.test("ChainReader reads numbers across the driver's pieces", () => {
  const { chain: { readable } } = chainOf(
    { at: 0x8001, length: 1 },
    { at: 0x8002, length: 3 },
    { at: 0x8010, length: 1 },
    { at: 0x8020, length: 20 },
  );
  assertEquals(readable.u8(), 0x01);
  assertEquals(readable.u16(), 0x0302);
  assertEquals(readable.u32(), 0x2120_1004);
  assertEquals(readable.u64(), Number(0x2928_2726_2524_2322n));
  assertEquals(readable.remaining, 25 - 15);
});

Deno.test("ChainReader.u32() is unsigned and u64() rounds above 2^53", () => {
  const { chain: { readable } } = chainOf({ at: 0x80f8, length: 8 }, {
    at: 0x80f8,
    length: 8,
  });
  assertEquals(readable.u32(), 0xfbfa_f9f8);
  readable.skip(4);
  assertEquals(readable.u64(), Number(0xfffe_fdfc_fbfa_f9f8n));
});

Deno.test("ChainReader refuses to read past its end, and does not move", () => {
  const { chain: { readable } } = chainOf({ at: 0x8000, length: 3 });
  assertThrows(() => readable.u32(), DriverError, "ends 1 bytes before");
  assertThrows(() => readable.read(new Uint8Array(4)), DriverError);
  assertEquals(readable.remaining, 3);
  assertEquals(readable.u16(), 0x0100);
  assertThrows(() => readable.u16(), DriverError);
  assertEquals(readable.u8(), 0x02);
  assertThrows(() => readable.u8(), DriverError);
});

Deno.test("ChainReader.read() copies short and long pieces", () => {
  const { chain: { readable } } = chainOf(
    { at: 0x8000, length: 32 },
    { at: 0x8040, length: 100 },
  );
  const into = new Uint8Array(132);
  readable.read(into);
  assertEquals([into[0], into[31], into[32], into[131]], [0, 31, 64, 163]);
});

Deno.test("ChainWriter writes as much as there is room for, and not a byte more", () => {
  const { chain: { writable, capacity }, bytes } = chainOf(
    { at: 0x9000, length: 4, write: true },
    { at: 0xa000, length: 3, write: true },
  );
  assertEquals(capacity, 7);
  assertEquals(writable.write(new Uint8Array([1, 2, 3, 4, 5])), 5);
  assertEquals(writable.write(new Uint8Array([6, 7, 8, 9])), 2);
  assertEquals(writable.write(new Uint8Array(9)), 0);
  assertEquals(bytes.slice(0x9000, 0x9005), new Uint8Array([1, 2, 3, 4, 0]));
  assertEquals(bytes.slice(0xa000, 0xa004), new Uint8Array([5, 6, 7, 0]));
});

Deno.test("ChainWriter.u8(), skip() and fill() stop at the end", () => {
  const { chain: { writable }, bytes } = chainOf(
    { at: 0x9000, length: 4, write: true },
    { at: 0xa000, length: 3, write: true },
  );
  writable.skip(3);
  assertEquals(writable.fill(0xee, 2), 2);
  writable.u8(0xaa);
  assertEquals(writable.fill(0xbb, 100), 1);
  writable.u8(0xcc);
  writable.skip(10);
  assertEquals(writable.remaining, 0);
  assertEquals(bytes.slice(0x9000, 0x9005), new Uint8Array([0, 0, 0, 0xee, 0]));
  assertEquals(
    bytes.slice(0xa000, 0xa004),
    new Uint8Array([0xee, 0xaa, 0xbb, 0]),
  );
});

Deno.test("Cursor.views() shows what is left without moving on", () => {
  const { chain: { readable } } = chainOf(
    { at: 0x8000, length: 4 },
    { at: 0x8100, length: 3 },
  );
  readable.u8();
  const shown = () =>
    readable.views(5).map((view) => [view.byteOffset, view.length]);
  assertEquals(shown(), [[0x8001, 3], [0x8100, 2]]);
  assertEquals(shown(), [[0x8001, 3], [0x8100, 2]]);
  assertEquals(readable.u8(), 1);
});

Deno.test("Cursor.unsafeEachPiece() ends where the visitor handled less", () => {
  const { chain: { writable } } = chainOf(
    { at: 0x9000, length: 4, write: true },
    { at: 0xa000, length: 4, write: true },
  );
  assertEquals(writable.unsafeEachPiece(8, () => 3), 3);
  assertEquals(writable.remaining, 5);
  assertEquals(writable.unsafeEachPiece(100, (_ram, _at, size) => size), 5);
  assertEquals(writable.unsafeEachPiece(1, () => 1), 0);
});

Deno.test("A chain of more pieces than it first has room for keeps all of them", () => {
  const buffers = Array.from({ length: 60 }, (_, i) => ({
    at: 0x8000 + i,
    length: 1,
    write: i >= 40,
  }));
  const { chain } = chainOf(...buffers);
  assertEquals([chain.readable.remaining, chain.capacity], [40, 20]);
  chain.readable.skip(39);
  assertEquals(chain.readable.u8(), 39);
});

Deno.test("A revoked chain has nothing left to read or to write", () => {
  const { chain } = chainOf({ at: 0x8000, length: 4 }, {
    at: 0x9000,
    length: 4,
    write: true,
  });
  chain.revoke();
  assertEquals(chain.writable.write(new Uint8Array(4)), 0);
  assertThrows(() => chain.readable.u8(), DriverError);
});

Deno.test("A chain without a writable part has nothing to skip, fill or write", () => {
  const buffers = Array.from({ length: 8 }, () => ({ at: 0x8000, length: 1 }));
  const { chain: { writable, capacity } } = chainOf(...buffers);
  assertEquals(capacity, 0);
  writable.skip(0);
  writable.skip(5);
  writable.u8(1);
  assertEquals(writable.fill(1, 5), 0);
  assertEquals(writable.views(), []);
});

Deno.test("A cursor does not go back, nor past its end, for a negative length", () => {
  const { chain: { readable, writable }, bytes } = chainOf(
    { at: 0x8000, length: 4 },
    { at: 0x8040, length: 2, write: true },
  );
  readable.skip(-1);
  assertEquals([readable.remaining, readable.u8()], [4, 0]);
  writable.skip(2);
  writable.skip(-1);
  writable.u8(0xff);
  assertEquals(writable.fill(0xff, -1), 0);
  assertEquals(writable.remaining, 0);
  assertEquals([...bytes.subarray(0x8040, 0x8044)], [0x40, 0x41, 0x42, 0x43]);
});
