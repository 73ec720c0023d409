// The bytes of vhost-user messages, against hex written from the protocol's text, and what no peer may send.

import { assertEquals, assertThrows } from "@std/assert";
import { VhostUserError } from "../../../core/errors.ts";
import {
  decodeConfig,
  decodeInflight,
  decodeMemoryTable,
  decodeU64,
  decodeVringAddress,
  decodeVringFd,
  decodeVringState,
  encodeConfig,
  encodeInflight,
  encodeMemoryTable,
  encodeU64,
  encodeVringAddress,
  encodeVringFd,
  encodeVringState,
} from "../../../core/vhost_user/payload.ts";
import {
  decodeHeader,
  encodeHeader,
  requestName,
} from "../../../core/vhost_user/protocol.ts";

const hex = (text: string) =>
  Uint8Array.from(
    text.replace(/\s/g, "").match(/../g) ?? [],
    (byte) => parseInt(byte, 16),
  );

const REGION = {
  guestAddress: 0x1_0000_0000,
  size: 0x20_0000,
  userAddress: 0x7f12_3456_7000,
  mmapOffset: 0xc000_0000,
};
const REGION_HEX = "00000000 01000000 00002000 00000000" +
  "00705634 127f0000 000000c0 00000000";

Deno.test("A header is request, flags with version 1, size", () => {
  const header = { request: 5, flags: 8, size: 0x28 };
  const bytes = hex("05000000 09000000 28000000");
  assertEquals(encodeHeader(header), bytes);
  assertEquals(decodeHeader(bytes), { ...header, flags: 9 });
});

Deno.test("A header of another version, or with more payload than a message has, is refused", () => {
  for (
    const bad of [
      "01000000 00000000 00000000",
      "01000000 02000000 00000000",
      "01000000 01000000 01100000",
      "01000000 01000000 ffffffff",
    ]
  ) assertThrows(() => decodeHeader(hex(bad)), VhostUserError);
});

Deno.test("Payloads are laid out as the protocol says", () => {
  assertEquals(encodeU64(0x1_4000_0001n), hex("01000040 01000000"));
  assertEquals(
    encodeVringState({ index: 1, num: 256 }),
    hex("01000000 00010000"),
  );
  assertEquals(encodeVringFd(3, true), hex("03000000 00000000"));
  assertEquals(encodeVringFd(3, false), hex("03010000 00000000"));
  assertEquals(
    encodeVringAddress({
      index: 2,
      flags: 0,
      descriptor: 0x1000,
      used: 0x3000,
      available: 0x2000,
    }),
    hex(
      "02000000 00000000 0010000000000000 0030000000000000 0020000000000000" +
        "0000000000000000",
    ),
  );
  assertEquals(
    encodeMemoryTable([REGION]),
    hex("0100000000000000" + REGION_HEX),
  );
  assertEquals(
    encodeConfig({ offset: 4, flags: 1, bytes: hex("aabb") }),
    hex("04000000 02000000 01000000 aabb"),
  );
  assertEquals(
    encodeInflight({
      mmapSize: 0x1000,
      mmapOffset: 0x40,
      numQueues: 2,
      queueSize: 128,
    }),
    hex("0010000000000000 4000000000000000 0200 8000 00000000"),
  );
});

Deno.test("What was encoded decodes to itself", () => {
  assertEquals(decodeU64(encodeU64(2n ** 64n - 1n)), 2n ** 64n - 1n);
  const state = { index: 7, num: 0xffff_ffff };
  assertEquals(decodeVringState(encodeVringState(state)), state);
  assertEquals(decodeVringFd(encodeVringFd(9, false)), {
    index: 9,
    hasFd: false,
  });
  const address = {
    index: 1,
    flags: 1,
    descriptor: 0x7fff_0000_1000,
    used: 2 ** 47,
    available: 16,
  };
  assertEquals(decodeVringAddress(encodeVringAddress(address)), address);
  const table = [REGION, { ...REGION, guestAddress: 0 }];
  assertEquals(decodeMemoryTable(encodeMemoryTable(table)), table);
  const config = { offset: 8, flags: 0, bytes: hex("01020304") };
  assertEquals(decodeConfig(encodeConfig(config)), config);
  const inflight = {
    mmapSize: 8192,
    mmapOffset: 0,
    numQueues: 3,
    queueSize: 1024,
  };
  assertEquals(decodeInflight(encodeInflight(inflight)), inflight);
});

Deno.test("A payload of the wrong size is refused", () => {
  for (
    const decode of [
      decodeU64,
      decodeVringFd,
      decodeVringState,
      decodeVringAddress,
      decodeMemoryTable,
      decodeConfig,
      decodeInflight,
    ]
  ) {
    for (const size of [0, 1, 7, 11, 23, 39, 41]) {
      assertThrows(() => decode(new Uint8Array(size)), VhostUserError);
    }
  }
});

Deno.test("A memory table with no, too many or missing regions is refused", () => {
  const table = encodeMemoryTable(Array.from({ length: 8 }, () => REGION));
  assertEquals(decodeMemoryTable(table).length, 8);
  for (const count of [0, 9, 0xffff_ffff]) {
    new DataView(table.buffer).setUint32(0, count, true);
    assertThrows(() => decodeMemoryTable(table), VhostUserError);
  }
  new DataView(table.buffer).setUint32(0, 8, true);
  assertThrows(() => decodeMemoryTable(table.subarray(0, -1)), VhostUserError);
});

Deno.test("Addresses and sizes above 2^53 are refused, config sizes that lie too", () => {
  const table = encodeMemoryTable([REGION]);
  new DataView(table.buffer).setBigUint64(16, 2n ** 63n, true);
  assertThrows(() => decodeMemoryTable(table), VhostUserError);
  const config = encodeConfig({ offset: 0, flags: 0, bytes: hex("01020304") });
  for (const size of [3, 5, 0xffff_ffff]) {
    new DataView(config.buffer).setUint32(4, size, true);
    assertThrows(() => decodeConfig(config), VhostUserError);
  }
});

Deno.test("requestName() knows requests by number", () => {
  assertEquals(requestName(5), "VHOST_USER_SET_MEM_TABLE");
  assertEquals(requestName(21), "VHOST_USER_SET_BACKEND_REQ_FD");
  assertEquals(requestName(999), "request 999");
});
