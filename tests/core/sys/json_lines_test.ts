// Lines of JSON over a stream: whole however they are cut, bounded, and not dearer for coming in small pieces.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  encodeLine,
  LONGEST_LINE,
  readLines,
} from "../../../core/sys/json_lines.ts";

/** A stream of `bytes` in pieces of `size`. */
function inPieces(
  bytes: Uint8Array,
  size: number,
): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at += size));
    },
  });
}

Deno.test("Messages arrive whole however the stream is cut", async () => {
  const sent = [
    { a: "ü\n" },
    [new Uint8Array([0, 10, 255])],
    null,
    "x",
    // Nobody's names are taken for ours.
    { $bytes: "%", $$bytes: { $bytes: new Uint8Array([7]) }, $: ["$"] },
  ];
  const lines = sent.flatMap((message) => [...encodeLine(message)]);
  for (const size of [1, 2, 3, 7, 1000]) {
    const stream = inPieces(new Uint8Array(lines), size);
    assertEquals(await Array.fromAsync(readLines(stream)), sent);
  }
});

Deno.test("A line without an end is not waited for", async () => {
  const stream = inPieces(new Uint8Array(2 * LONGEST_LINE).fill(0x20), 1000);
  const error = await assertRejects(
    () => Array.fromAsync(readLines(stream)),
    RangeError,
  );
  assertEquals(error.message, "A message is longer than 1048576 characters");
});

Deno.test("A long line in small pieces costs what its length costs", async () => {
  const longest = "x".repeat(LONGEST_LINE - 2);
  const line = encodeLine(longest);
  const begin = performance.now();
  // What one line had does not count for the next.
  const messages = await Array.fromAsync(
    readLines(inPieces(new Uint8Array([...line, ...line]), 20)),
  );
  assertEquals(messages, [longest, longest]);
  // Some 100,000 pieces; looking at all that came before with each takes a minute.
  assert(performance.now() - begin < 10_000);
});

Deno.test("encodeLine() refuses what no reader would take, and what is no data", () => {
  const longest = "x".repeat(LONGEST_LINE - 2);
  assertEquals(encodeLine(longest).length, LONGEST_LINE + 1);
  assertThrows(() => encodeLine(`${longest}x`), RangeError, "in parts");
  assertThrows(() => encodeLine({ a: 1n }), TypeError);
});

Deno.test("A line of bytes that are none is no message", async () => {
  const line = new TextEncoder().encode('{"$bytes":"%"}\n');
  await assertRejects(
    () => Array.fromAsync(readLines(inPieces(line, 100))),
    SyntaxError,
  );
});
