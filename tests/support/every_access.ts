// Every access that a vCPU can make to a register file: each offset of its page, 1, 2, 4 and 8 bytes wide.
import {
  readRange,
  type RegionOps,
  writeRange,
} from "../../core/bus/address_space.ts";

const PAGE = 0x1000;

/** As the core event loop serves them: cut or widened to what the registers take. */
export async function everyAccess(ops: RegionOps): Promise<void> {
  const start = 0xd000_0000;
  const end = start + PAGE;
  const range = { start, end, offset: 0, name: "dev0", ops, inline: null };
  const got = { low: 0, high: 0 };
  for (let offset = 0; offset < PAGE; offset++) {
    for (const width of [1, 2, 4, 8]) {
      await readRange(range, start + offset, width, got);
      const isNumber = [got.low, got.high].every((half) =>
        Number.isInteger(half) && half >= 0 && half < 2 ** 32
      );
      if (!isNumber) throw new Error(`${width} bytes at ${offset}: ${got.low}`);
      for (const low of [0xffff_ffff, 0x5555_5555]) {
        await writeRange(range, start + offset, width, { low, high: ~low });
      }
    }
  }
}
