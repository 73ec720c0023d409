// Thread: main
// Decodes the legacy LZ4 frame, which Linux kernels are packed with (lz4_Frame_format.md, "Legacy frame").

/** The frame's first four bytes as a little-endian word. */
export const LZ4_LEGACY_MAGIC = 0x184c_2102;

/** No block holds more than this once decoded. */
const BLOCK_SIZE = 8 * 1024 * 1024;
const MIN_MATCH = 4;

/**
 * Decodes a legacy frame into `outputSize` bytes.
 * @throws {RangeError} when the frame is broken or does not hold exactly that much
 */
export function decodeLz4Legacy(
  frame: Uint8Array,
  outputSize: number,
): Uint8Array {
  const output = new Uint8Array(outputSize);
  let at = 0;
  let written = 0;
  while (at < frame.length) {
    const word = readWord(frame, at);
    at += 4;
    // Frames may follow one another; the magic is no possible block size.
    if (word === LZ4_LEGACY_MAGIC) continue;
    if (word > frame.length - at) {
      throw new RangeError("An LZ4 block ends after its frame");
    }
    const room = output.subarray(written, written + BLOCK_SIZE);
    written += decodeBlock(frame.subarray(at, at + word), room);
    at += word;
  }
  if (written !== outputSize) {
    throw new RangeError(
      `The LZ4 frame holds ${written} bytes, not ${outputSize}`,
    );
  }
  return output;
}

function readWord(bytes: Uint8Array, at: number): number {
  if (at + 4 > bytes.length) throw new RangeError("The LZ4 frame is cut short");
  return new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(
    0,
    true,
  );
}

/**
 * Decodes one block (lz4_Block_format.md): sequences of a token, literals and a match, the last
 * without a match. Matches do not reach back into earlier blocks. Returns the bytes written.
 */
function decodeBlock(input: Uint8Array, output: Uint8Array): number {
  let at = 0;
  let out = 0;
  while (at < input.length) {
    const token = input[at++]!;
    let literals = token >> 4;
    if (literals === 15) {
      const tail = lengthTail(input, at);
      literals += tail;
      at += tailSize(tail);
    }
    check(at + literals <= input.length && out + literals <= output.length);
    for (let i = 0; i < literals; i++) output[out++] = input[at++]!;
    if (at === input.length) return out;

    check(at + 2 <= input.length);
    const distance = input[at]! | input[at + 1]! << 8;
    at += 2;
    let match = token & 15;
    if (match === 15) {
      const tail = lengthTail(input, at);
      match += tail;
      at += tailSize(tail);
    }
    match += MIN_MATCH;
    check(0 < distance && distance <= out && out + match <= output.length);
    // A match may overlap itself: the bytes then repeat.
    for (let i = 0; i < match; i++, out++) {
      output[out] = output[out - distance]!;
    }
  }
  throw broken();
}

/** The sum of the bytes that extend a length of 15; the first below 255 ends them. */
function lengthTail(input: Uint8Array, at: number): number {
  let sum = 0;
  for (;; at++) {
    const byte = input[at] ?? 0;
    sum += byte;
    if (byte < 255) return sum;
  }
}

function tailSize(sum: number): number {
  return Math.floor(sum / 255) + 1;
}

function check(isInside: boolean): void {
  if (!isInside) throw broken();
}

function broken(): RangeError {
  return new RangeError(
    "An LZ4 block is broken: a length or distance leaves it",
  );
}
