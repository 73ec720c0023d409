// The kit's driver sees what a device does to its memory that it may not.

import { assertEquals, assertThrows } from "@std/assert";
import { Finding } from "../../../core/conformance/check.ts";
import { GuestRam } from "../../../core/conformance/guest_ram.ts";
import { PackedRing } from "../../../core/conformance/packed_ring.ts";
import { SplitRing } from "../../../core/conformance/split_ring.ts";

function start() {
  const ram = new GuestRam();
  return { ram, view: new DataView(ram.bytes.buffer) };
}

Deno.test("An area sees the first byte that changed, but in the buffers that may", () => {
  const { ram: { main, bytes } } = start();
  const [first, second] = [main.allocate(10), main.allocate(20, 16)];
  assertEquals(second % 16, 0);
  main.freeze();
  assertEquals(main.changed(), null);
  for (const at of [first, first + 9, second, second + 19]) bytes[at]! ^= 1;
  const allowed = [{ at: first, length: 10 }, { at: second, length: 20 }];
  assertEquals(main.changed(allowed), null);
  assertEquals(main.changed(allowed.slice(1)), first);
  bytes[second + 20]! ^= 1;
  assertEquals(main.changed(allowed), second + 20);
  bytes[first - 1]! ^= 1;
  assertEquals(main.changed(allowed), first - 1);
});

Deno.test("A write to where no area is comes to light once", () => {
  const { ram } = start();
  assertEquals(ram.strayWrite(), null);
  ram.bytes[0xffff] = 1;
  assertEquals([ram.strayWrite(), ram.strayWrite()], [0xffff, null]);
});

Deno.test("A split ring gives its descriptors out again, and refuses what no chain is", () => {
  const { ram: { main }, view } = start();
  const ring = new SplitRing(main, 4);
  const buffer = { at: 0x20000, length: 16, write: true };
  const id = ring.add([{ ...buffer, write: false }, buffer]);
  assertEquals([ring.free, view.getUint16(ring.driver + 2, true)], [2, 1]);
  assertEquals(view.getUint16(ring.desc + 16 * id + 12, true), 1); // NEXT
  const next = view.getUint16(ring.desc + 16 * id + 14, true);
  assertEquals(view.getUint16(ring.desc + 16 * next + 12, true), 2); // WRITE
  assertEquals(ring.takeUsed(), []);
  view.setUint32(ring.device + 4, id, true);
  view.setUint32(ring.device + 8, 7, true);
  view.setUint16(ring.device + 2, 1, true);
  assertEquals([ring.takeUsed(), ring.free], [[{ id, length: 7 }], 4]);
  // The same again, which the device does not hold any more.
  view.setUint32(ring.device + 12, id, true);
  view.setUint16(ring.device + 2, 2, true);
  assertThrows(() => ring.takeUsed(), Finding, "does not hold");
});

Deno.test("A packed ring goes round, and refuses what no chain is", () => {
  const { ram: { main }, view } = start();
  const ring = new PackedRing(main, 4);
  const buffer = { at: 0x20000, length: 16, write: true };
  const flagsOf = (index: number) =>
    view.getUint16(ring.desc + 16 * index + 14, true);
  for (let round = 0; round < 6; round++) {
    const first = (3 * round) % 4;
    const wrap = Math.floor((3 * round) / 4) % 2 === 0;
    const id = ring.add([buffer, buffer, buffer]);
    assertEquals(ring.free, 1);
    assertEquals(flagsOf(first), wrap ? 0x83 : 0x8003); // NEXT, WRITE and AVAIL or USED
    assertEquals(ring.takeUsed(), []);
    view.setUint16(ring.desc + 16 * first + 12, id, true);
    view.setUint32(ring.desc + 16 * first + 8, round, true);
    view.setUint16(ring.desc + 16 * first + 14, wrap ? 0x8080 : 0, true);
    assertEquals(ring.takeUsed(), [{ id, length: round }]);
  }
  ring.add([buffer]);
  view.setUint16(ring.desc + 16 * 2 + 12, 99, true);
  view.setUint16(ring.desc + 16 * 2 + 14, 0x8080, true);
  assertThrows(() => ring.takeUsed(), Finding, "id 99");
});
