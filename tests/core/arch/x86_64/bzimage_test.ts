import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { gzipSync, zstdCompressSync } from "node:zlib";
import {
  isBzImage,
  parseBzImage,
  unpackPayload,
} from "../../../../core/arch/x86_64/bzimage.ts";
import { ManifestError } from "../../../../core/errors.ts";
import { makeBzImage, makeElf, storeLz4, withSize } from "./kernel_fixtures.ts";

function refuses(bytes: Uint8Array, problem: string): void {
  assertThrows(() => parseBzImage(bytes, "k"), ManifestError, problem);
}

function patched(offset: number, ...values: number[]): Uint8Array {
  const bytes = makeBzImage();
  bytes.set(values, offset);
  return bytes;
}

function unpack(payload: Uint8Array): Promise<Uint8Array | null> {
  const bytes = makeBzImage(payload);
  return unpackPayload(bytes, parseBzImage(bytes, "k"), "k");
}

Deno.test("isBzImage() wants the boot flag and the signature", () => {
  assertEquals(isBzImage(makeBzImage()), true);
  assertEquals(isBzImage(patched(0x1fe, 0)), false);
  assertEquals(isBzImage(patched(0x202, 0)), false);
  assertEquals(isBzImage(makeBzImage().subarray(0, 0x205)), false);
});

Deno.test("parseBzImage() reads the setup header", () => {
  const bytes = makeBzImage(new Uint8Array(100));
  const { setupHeader, ...fields } = parseBzImage(bytes, "k");
  assertEquals(fields, {
    version: 0x20f,
    protectedModeOffset: 0x600,
    protectedModeSize: 0x470,
    entryOffset: 0x200,
    relocatable: true,
    prefAddress: 0x100_0000,
    kernelAlignment: 0x20_0000,
    initSize: 0x300_0000,
    initrdAddrMax: 0x7fff_ffff,
    cmdlineSize: 2047,
    payloadOffset: 0xa00,
    payloadLength: 100,
  });
  assertEquals(setupHeader.length, 0x26c - 0x1f1);
  assertEquals(setupHeader.buffer, bytes.buffer);
});

Deno.test("parseBzImage() takes no setup sectors for four", () => {
  const bytes = new Uint8Array(0x2000);
  bytes.set(makeBzImage());
  bytes[0x1f1] = 0;
  assertEquals(parseBzImage(bytes, "k").protectedModeOffset, 0xa00);
});

Deno.test("parseBzImage() refuses kernels without a 64-bit entry", () => {
  refuses(patched(0x236, 0x7e), "no 64-bit entry");
  refuses(patched(0x206, 0x0b), "no 64-bit entry");
  refuses(patched(0x211, 0), "no 64-bit entry");
});

Deno.test("parseBzImage() refuses a file cut short anywhere", () => {
  const whole = makeBzImage(new Uint8Array(100));
  for (let length = 0x206; length < whole.length - 16; length += 7) {
    refuses(whole.subarray(0, length), "cut short");
  }
});

Deno.test("parseBzImage() refuses sizes and offsets outside the file", () => {
  const most = [0xff, 0xff, 0xff, 0xff];
  refuses(patched(0x1f1, 0xff), "cut short");
  refuses(patched(0x1f4, ...most), "cut short");
  refuses(patched(0x1f4, 0, 0, 0, 0), "cut short");
  refuses(patched(0x248, ...most), "cut short");
  refuses(patched(0x24c, ...most), "cut short");
  refuses(patched(0x201, 0x10), "cut short");
});

Deno.test("parseBzImage() refuses load addresses that cannot be", () => {
  refuses(patched(0x230, 0, 0, 0x30), "broken");
  refuses(patched(0x230, 0, 0, 0, 0), "broken");
  refuses(patched(0x260, 0, 1, 0, 0), "broken");
  refuses(patched(0x258, 0, 0, 0, 0), "between 1 MiB and 3 GiB");
  refuses(patched(0x258, 0, 0, 0, 0xbf), "between 1 MiB and 3 GiB");
  refuses(patched(0x25f, 0xff), "between 1 MiB and 3 GiB");
});

Deno.test("unpackPayload() unpacks LZ4, gzip and zstd", async () => {
  const elf = makeElf();
  const payloads = [
    withSize(storeLz4(elf), elf.length),
    gzipSync(elf),
    withSize(zstdCompressSync(elf), elf.length),
  ];
  for (const payload of payloads) {
    const unpacked = await unpack(payload);
    assertEquals(unpacked && Uint8Array.from(unpacked), elf);
  }
});

Deno.test("unpackPayload() gives null for what it cannot read", async () => {
  const xz = Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 1, 2, 255, 255);
  assertEquals(await unpack(xz), null);
  assertEquals(await unpack(new Uint8Array(0)), null);
  assertEquals(await unpack(Uint8Array.of(0x1f, 0x8b, 8)), null);
});

Deno.test("unpackPayload() refuses a wrong size and a broken stream", async () => {
  const elf = makeElf();
  const gzip = gzipSync(elf);
  const zstd = zstdCompressSync(elf);
  const bad = [
    withSize(storeLz4(elf), elf.length - 1),
    withSize(storeLz4(elf), 0xffff_ffff),
    withSize(gzip.subarray(0, -4), elf.length - 1),
    withSize(gzip.subarray(0, -4), 0xffff_ffff),
    withSize(gzip.subarray(0, -30), elf.length),
    withSize(zstd, elf.length - 1),
    withSize(zstd, elf.length + 1),
    withSize(zstd, 0),
    withSize(zstd.subarray(0, -9), elf.length),
  ];
  for (const payload of bad) {
    await assertRejects(
      () => unpack(payload),
      ManifestError,
      "k: The kernel inside the bzImage cannot be unpacked",
    );
  }
});

Deno.test("unpackPayload() stops a stream that grows past its size", async () => {
  const bomb = gzipSync(new Uint8Array(64 * 1024 * 1024));
  new DataView(bomb.buffer, bomb.byteOffset).setUint32(
    bomb.length - 4,
    1000,
    true,
  );
  const error = await assertRejects(() => unpack(bomb), ManifestError) as Error;
  assertEquals(
    (error.cause as { code?: string }).code,
    "ERR_BUFFER_TOO_LARGE",
  );
});
