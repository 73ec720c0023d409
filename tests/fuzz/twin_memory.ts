// Level A: guest RAM, and the model's copy of it. The driver writes to both.
import { Finding } from "./finding.ts";
import { RAM_SIZE, REGIONS } from "./ram.ts";
import type { MemoryStep } from "./ring_steps.ts";
import { poke } from "./poke.ts";

export class TwinMemory {
  readonly #buffer = new SharedArrayBuffer(RAM_SIZE);
  readonly shared = {
    buffer: this.#buffer,
    byteOffset: 0,
    size: RAM_SIZE,
    regions: REGIONS,
  };
  readonly bytes = new Uint8Array(this.#buffer);
  readonly #words = new Uint32Array(this.#buffer);
  readonly #real = new DataView(this.#buffer);
  readonly modelBytes = new Uint8Array(RAM_SIZE);
  readonly #modelWords = new Uint32Array(this.modelBytes.buffer);
  readonly model = new DataView(this.modelBytes.buffer);

  write(step: MemoryStep): void {
    poke(this.#real, step);
    poke(this.model, step);
  }

  zero(at: number, length: number): void {
    this.bytes.fill(0, at, at + length);
    this.modelBytes.fill(0, at, at + length);
  }

  /** What the device wrote is what the model wrote, in all of RAM. */
  compare(): void {
    const { length } = this.#words;
    for (let i = 0; i < length; i++) {
      if (this.#words[i] === this.#modelWords[i]) continue;
      const at = `0x${(4 * i).toString(16)}`;
      throw new Finding(`RAM: differs from what should be there at ${at}`);
    }
  }
}
