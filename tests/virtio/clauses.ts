// The device's side of virtio-v1.3, clause by clause: what each asks in our own words, and the tests that show it.
import { BASIC } from "./clauses/basic.ts";
import type { Clause } from "./clauses/clause.ts";
import { DEVICES } from "./clauses/devices.ts";
import { MMIO } from "./clauses/mmio.ts";
import { RINGS } from "./clauses/rings.ts";
import { ZONED } from "./clauses/zoned.ts";

/** §2, §4.2, §5.2 to §5.4 and §6, in the order of the specification. */
export const CLAUSES: readonly Clause[] = [
  ...BASIC,
  ...RINGS,
  ...MMIO,
  ...DEVICES,
  ...ZONED,
];
