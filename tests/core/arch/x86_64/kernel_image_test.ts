import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  detectKernel,
  type LinuxKernel,
  parseKernel,
  unpackKernel,
} from "../../../../core/arch/x86_64/kernel_image.ts";
import { ManifestError } from "../../../../core/errors.ts";
import {
  makeBzImage,
  makeElf,
  storeLz4,
  withSize,
  xenNote,
} from "./kernel_fixtures.ts";

const withoutPvh = () => makeElf({ note: xenNote(17, 0n, 4) });

function packed(elf: Uint8Array): LinuxKernel {
  const bytes = makeBzImage(withSize(storeLz4(elf), elf.length));
  return parseKernel(bytes, "k") as LinuxKernel;
}

Deno.test("detectKernel() tells the kinds apart", () => {
  assertEquals(detectKernel(makeElf()), "elf");
  assertEquals(detectKernel(makeBzImage()), "bzimage");
  assertEquals(detectKernel(new Uint8Array(0)), "unknown");
  assertEquals(detectKernel(new Uint8Array(4096)), "unknown");
});

Deno.test("parseKernel() keeps the file without a copy", () => {
  for (const file of [makeElf(), makeBzImage()]) {
    const kernel = parseKernel(file, "boot.kernel");
    assertEquals(kernel.file === file, true);
    assertEquals(kernel.kind, detectKernel(file));
  }
});

Deno.test("parseKernel() says in one line why a file is no kernel", () => {
  const elf32 = makeElf();
  elf32[4] = 1;
  const arm = makeElf();
  arm[18] = 0xb7;
  const no64 = makeBzImage();
  no64[0x236] = 0;
  const cases: [Uint8Array, string][] = [
    [new Uint8Array(0), "The file is empty"],
    [Uint8Array.of(0x7f, 0x45), "not a bzImage or an ELF kernel"],
    [makeElf().subarray(0, 63), "cut short"],
    [makeBzImage().subarray(0, 0x600), "cut short"],
    [Uint8Array.of(0x1f, 0x8b, 8, 0), "not a bzImage or an ELF kernel"],
    [elf32, "32-bit ELF file"],
    [arm, "for another processor"],
    [withoutPvh(), "has no PVH entry"],
    [no64, "has no 64-bit entry"],
  ];
  for (const [file, problem] of cases) {
    const error = assertThrows(
      () => parseKernel(file, "boot.kernel"),
      ManifestError,
      problem,
    ) as ManifestError;
    assertEquals(error.message.startsWith("boot.kernel: "), true);
    assertEquals(/^[^\n]+; [^\n]+[^.]$/.test(error.message), true);
  }
});

Deno.test("unpackKernel() gives the PVH kernel in a bzImage", async () => {
  const kernel = await unpackKernel(packed(makeElf()), "k");
  assertEquals(kernel?.kind, "elf");
  assertEquals(kernel?.pvhEntry, 0x200010);
  assertEquals(kernel?.file, makeElf());
});

Deno.test("unpackKernel() gives null where only the bzImage can boot", async () => {
  assertEquals(await unpackKernel(packed(withoutPvh()), "k"), null);
  const xz = makeBzImage(Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 0));
  const kernel = parseKernel(xz, "k") as LinuxKernel;
  assertEquals(await unpackKernel(kernel, "k"), null);
});

Deno.test("unpackKernel() refuses a payload that is no kernel", async () => {
  const elf32 = makeElf();
  elf32[4] = 1;
  await assertRejects(
    () => unpackKernel(packed(elf32), "boot.kernel"),
    ManifestError,
    "boot.kernel: This is a 32-bit ELF file",
  );
});
