import { assert, assertEquals, assertThrows } from "@std/assert";
import { GuestMemory } from "../../../core/memory/guest_memory.ts";
import { splitRam } from "../../../core/memory/ram_map.ts";
import { RamView } from "../../../core/virtio/ram_view.ts";

const MiB = 1 << 20;
const GiB = 2 ** 30;

Deno.test("splitRam() leaves out the hole from 3 to 4 GiB", () => {
  assertEquals(splitRam(16 * MiB), [{ gpa: 0, size: 16 * MiB, offset: 0 }]);
  assertEquals(splitRam(3 * GiB), [{ gpa: 0, size: 3 * GiB, offset: 0 }]);
  assertEquals(splitRam(3 * GiB + 4096), [
    { gpa: 0, size: 0xc000_0000, offset: 0 },
    { gpa: 0x1_0000_0000, size: 4096, offset: 0xc000_0000 },
  ]);
});

Deno.test("RamView.translate() finds what is in one stretch of RAM, to the byte", () => {
  const size = 3 * GiB + MiB;
  const view = new RamView({
    buffer: new SharedArrayBuffer(size),
    byteOffset: 0,
    size,
    regions: splitRam(size),
  });
  for (
    const [gpa, length, offset] of [
      [0, 1, 0],
      [3 * GiB - 1, 1, 3 * GiB - 1],
      [3 * GiB - 1, 2, -1],
      [3 * GiB, 1, -1],
      [4 * GiB - 1, 2, -1],
      [4 * GiB, MiB, 3 * GiB],
      [4 * GiB, MiB + 1, -1],
      [4 * GiB + MiB, 1, -1],
      [2 ** 64, 1, -1],
      [0, 2 ** 32, -1],
    ] as const
  ) assertEquals(view.translate(gpa, length), offset, `${gpa} +${length}`);
});

Deno.test("RamView.translate() finds what is in many regions, in any order", () => {
  const view = new RamView({
    buffer: new SharedArrayBuffer(0xb000),
    byteOffset: 0,
    size: 0xb000,
    regions: [
      { gpa: 0x10_0000, size: 0x1000, offset: 0x2000 },
      { gpa: 0x2000, size: 0x4000, offset: 0x4000 },
      { gpa: 0x40_0000_0000, size: 0x3000, offset: 0x8000 },
      { gpa: 0x6000, size: 0x1000, offset: 0 },
    ],
  });
  for (
    const [gpa, length, offset] of [
      [0, 0, -1],
      [0, 4, -1],
      [0x1fff, 2, -1],
      [0x2000, 0x4000, 0x4000],
      [0x5fff, 1, 0x7fff],
      [0x5fff, 2, -1], // the next region is elsewhere in the buffer
      [0x6000, 0x1000, 0],
      [0x7000, 1, -1],
      [0x10_0ffc, 4, 0x2ffc],
      [0x10_0ffc, 5, -1],
      [0x40_0000_2fff, 1, 0xafff],
      [0x40_0000_3000, 1, -1],
    ] as const
  ) assertEquals(view.translate(gpa, length), offset, `${gpa} +${length}`);
});

Deno.test("GuestMemory is aligned to 2 MiB, and a memfd where that has huge pages", () => {
  using memory = new GuestMemory(4 * MiB);
  assertEquals(memory.hostAddress % (2 * MiB), 0);
  assertEquals(memory.bytes.length, 4 * MiB);
  memory.write(0x1234, new Uint8Array([1, 2, 3]));
  assertEquals(memory.slice(0x1234, 3), new Uint8Array([1, 2, 3]));
  const modes = Deno.readTextFileSync(
    "/sys/kernel/mm/transparent_hugepage/shmem_enabled",
  );
  assertEquals(memory.memfd === null, /\[(never|deny)\]/.test(modes));
  if (memory.memfd === null) return;
  const file = Deno.openSync(`/proc/self/fd/${memory.memfd.fd}`);
  file.seekSync(0x1234, Deno.SeekMode.Start);
  const seen = new Uint8Array(3);
  file.readSync(seen);
  file.close();
  assertEquals(seen, new Uint8Array([1, 2, 3]));
});

Deno.test("GuestMemory refuses what is not all RAM", () => {
  using memory = new GuestMemory(4 * MiB);
  assertEquals(memory.slice(4 * MiB - 1, 2), null);
  assertEquals(memory.slice(4 * MiB - 1, 1)?.length, 1);
  assertThrows(
    () => memory.write(4 * MiB, new Uint8Array(1)),
    RangeError,
    "0x400000",
  );
});

Deno.test("GuestMemory costs nothing until it is touched", () => {
  using memory = new GuestMemory(4 * GiB);
  const rss = Deno.memoryUsage().rss;
  memory.write(4 * GiB, new Uint8Array([1]));
  assert(Deno.memoryUsage().rss - rss < 64 * MiB);
});

Deno.test("GuestMemory.close() is idempotent, and leaves views harmless", () => {
  const memory = new GuestMemory(4 * MiB);
  memory.bytes[7] = 7;
  memory.close();
  memory.close();
  assertEquals(memory.bytes[7], 0);
  memory.bytes[7] = 1;
});
