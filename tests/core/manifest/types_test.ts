// The type of a manifest: what an editor offers, and what it refuses. `deno check` is the test.

import { assertEquals, assertThrows } from "@std/assert";
import type * as v from "valibot";
import { type Manifest, ManifestError } from "../../../core/mod.ts";
import type { manifestSchema } from "../../../core/manifest/schema.ts";
import { readManifest } from "../../../core/manifest/source.ts";

const GOOD: Manifest = {
  name: "typed",
  cpus: 2,
  memory: "256M",
  boot: { use: "debian", cmdline: "quiet" },
  devices: [
    { use: "console" },
    { use: "rng", maxBytes: 16, virtio: { ring: "packed" } },
  ],
} as const;

type Immutable<T> = T extends object
  ? { readonly [Key in keyof T]: Immutable<T[Key]> }
  : T;
type Input = Immutable<v.InferInput<ReturnType<typeof manifestSchema>>>;

/** What the schema takes, and what the type says, are the same. */
export const SAME: readonly [(a: Manifest) => Input, (b: Input) => Manifest] = [
  (manifest) => manifest,
  (input) => input,
];
/** No field of the schema is missing in the type, or the reverse. */
export const FIELDS: Record<keyof Manifest, null> & Record<keyof Input, null> =
  {
    $schema: null,
    name: null,
    cpus: null,
    memory: null,
    boot: null,
    devices: null,
    serial: null,
  };

/** Each is refused by its type, and by the schema that the type is made of. */
const WRONG: readonly Manifest[] = [
  // @ts-expect-error: an unknown field
  { cpsu: 1 },
  // @ts-expect-error: no number
  { cpus: "2" },
  // @ts-expect-error: no word of those that there are
  { devices: [{ use: "rng", virtio: { ring: "loose" } }] },
  // @ts-expect-error: no list
  { devices: [{ use: "rng", permissions: { read: "/etc" } }] },
  // @ts-expect-error: without use
  { devices: [{ name: "rng" }] },
  // @ts-expect-error: nothing to boot
  { boot: { initrd: "initrd" } },
];

Deno.test("What the type of a manifest takes loads, and what it refuses does not", () => {
  assertEquals(readManifest(GOOD, "/").devices.length, 2);
  for (const wrong of WRONG) {
    assertThrows(() => readManifest(wrong, "/"), ManifestError);
  }
});
