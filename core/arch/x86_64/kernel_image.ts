// Thread: main
// Tells kernel images apart and finds the fastest way to boot one.

import { ManifestError } from "../../errors.ts";
import {
  type BzImage,
  isBzImage,
  parseBzImage,
  unpackPayload,
} from "./bzimage.ts";
import { type ElfKernel, isElf, parseElf } from "./elf.ts";

/** An ELF kernel to be entered at `pvhEntry`; its segments are offsets into `file`. */
export interface PvhKernel extends ElfKernel {
  readonly kind: "elf";
  readonly file: Uint8Array;
  readonly pvhEntry: number;
}

/** A Linux bzImage to be entered by the 64-bit boot protocol. */
export interface LinuxKernel extends BzImage {
  readonly kind: "bzimage";
  readonly file: Uint8Array;
}

export type KernelImage = PvhKernel | LinuxKernel;

/** What the first bytes say the file is. */
export function detectKernel(
  file: Uint8Array,
): KernelImage["kind"] | "unknown" {
  if (isElf(file)) return "elf";
  return isBzImage(file) ? "bzimage" : "unknown";
}

/**
 * Parses a kernel file; the result holds views of it, no copies.
 * @param field the manifest field that names the file, for the error
 * @throws {ManifestError} with the reason and the remedy when it cannot be booted
 */
export function parseKernel(file: Uint8Array, field: string): KernelImage {
  if (file.length === 0) {
    throw new ManifestError(
      field,
      "The file is empty; name a bzImage or an ELF kernel",
    );
  }
  switch (detectKernel(file)) {
    case "bzimage":
      return { kind: "bzimage", file, ...parseBzImage(file, field) };
    case "elf": {
      const kernel = pvhKernel(file, parseElf(file, field));
      if (kernel !== null) return kernel;
      throw new ManifestError(
        field,
        "The ELF kernel has no PVH entry; build it with CONFIG_PVH=y or name its bzImage",
      );
    }
    case "unknown":
      throw new ManifestError(
        field,
        "The file is not a bzImage or an ELF kernel; name the kernel that the distribution calls vmlinuz or vmlinux",
      );
  }
}

/**
 * Unpacks the ELF kernel in a bzImage, which spares the guest that work. Null when its packing is
 * not supported or it has no PVH entry: boot the bzImage itself then.
 * @throws {ManifestError} when the packed kernel is broken
 */
export async function unpackKernel(
  kernel: LinuxKernel,
  field: string,
): Promise<PvhKernel | null> {
  const file = await unpackPayload(kernel.file, kernel, field);
  return file === null ? null : pvhKernel(file, parseElf(file, field));
}

function pvhKernel(file: Uint8Array, elf: ElfKernel): PvhKernel | null {
  const { segments, pvhEntry } = elf;
  return pvhEntry === null ? null : { kind: "elf", file, segments, pvhEntry };
}
