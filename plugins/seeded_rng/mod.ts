// An entropy device (virtio-v1.3 §5.4) whose bytes all follow from a seed: a guest that is tested sees the same
// "chance" each time. Never use it for keys.
import { defineDevice } from "@paddock/paddock/plugin";

/** What one request gets at most: a driver may offer gigabytes, and other devices want their turn. */
const MOST = 64 * 1024;

export default defineDevice({
  id: 4, // entropy: Linux reads it as /dev/hwrng
  queues: { requestq: 64 },
  options: {
    seed: {
      type: "integer",
      min: 0,
      max: 2 ** 32 - 1,
      description: "the number that all bytes follow from",
    },
  },
  create({ options: { seed } }) {
    let bytes = bytesOf(seed);
    return {
      queues: {
        requestq({ writable }) {
          const length = Math.min(writable.remaining, MOST);
          for (let i = 0; i < length; i++) writable.u8(bytes.next().value);
          return length;
        },
      },
      // A driver resets the device before it uses it: each one sees the sequence from its start.
      reset() {
        bytes = bytesOf(seed);
      },
    };
  },
});

/** The endless sequence of a seed: each 32-bit word of the generator, its lowest byte first. */
export function* bytesOf(seed: number): Generator<number, never> {
  const state = Uint32Array.from({ length: 4 }, (_, i) => mix(seed + i));
  for (;;) {
    const word = xoshiro128(state);
    for (let shift = 0; shift < 32; shift += 8) yield (word >>> shift) & 0xff;
  }
}

/** The next word of xoshiro128** (Blackman and Vigna, prng.di.unimi.it), which takes any state but all zeros. */
export function xoshiro128(s: Uint32Array): number {
  const [s0, s1, s2, s3] = s as unknown as [number, number, number, number];
  const x2 = s2 ^ s0;
  const x3 = s3 ^ s1;
  s.set([s0 ^ x3, s1 ^ x2, x2 ^ (s1 << 9), rotate(x3, 11)]);
  return Math.imul(rotate(Math.imul(s1, 5), 7), 9) >>> 0;
}

const rotate = (x: number, bits: number) => (x << bits) | (x >>> (32 - bits));

/** Spreads a number over 32 bits; different ones stay different, so that the state is never all zeros. */
function mix(value: number): number {
  const half = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  const most = Math.imul(half ^ (half >>> 13), 0xc2b2ae35);
  return most ^ (most >>> 16);
}
