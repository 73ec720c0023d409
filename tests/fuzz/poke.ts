// How a driver's steps change RAM.
import { Random } from "./random.ts";
import type { MemoryStep } from "./ring_steps.ts";

export function poke(ram: DataView, step: MemoryStep): void {
  switch (step.op) {
    case "desc": {
      const { at, gpa, length, low, high } = step;
      ram.setUint32(at, gpa >>> 0, true);
      ram.setUint32(at + 4, Math.floor(gpa / 2 ** 32) >>> 0, true);
      ram.setUint32(at + 8, length, true);
      ram.setUint16(at + 12, low, true);
      return ram.setUint16(at + 14, high, true);
    }
    case "u16":
      return ram.setUint16(step.at, step.value, true);
    case "zero":
      new Uint8Array(ram.buffer, step.at, step.length).fill(0);
      return;
    case "noise": {
      const random = new Random(step.seed, 0);
      for (let i = 0; i < step.length; i++) {
        ram.setUint8(step.at + i, random.u32());
      }
    }
  }
}
