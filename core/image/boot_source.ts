// Thread: main
// From the manifest's `boot` to bytes: Debian's guest or the named files, the kernel unpacked once and cached.
import type { BootImage } from "../arch/x86_64/boot.ts";
import {
  type KernelImage,
  parseKernel,
  unpackKernel,
} from "../arch/x86_64/kernel_image.ts";
import { isElf } from "../arch/x86_64/elf.ts";
import { ManifestError } from "../errors.ts";
import type { BootConfig } from "../manifest/config.ts";
import {
  cacheFolder,
  contentKey,
  exists,
  prune,
  touch,
  writeWhole,
} from "./cache.ts";

/** Larger than any kernel; what is above it is named by mistake. */
const MAX_KERNEL = 512 * 2 ** 20;

export interface BootSourceOptions {
  readonly onProgress?: (message: string) => void;
  /** What Debian's guest does: a shell, or the tour of its devices. A script in the manifest goes before it. */
  readonly mode?: "shell" | "tour";
  /** Whether Debian's guest binds a driver anew when its device needs a reset. */
  readonly rebind?: boolean;
}

/**
 * The kernel command line of Debian's guest. The console device is the console; no PCI, which is not there;
 * a panic reboots, which ends the VM; a reboot goes by ACPI: where ACPI is hardware-reduced, Linux would try EFI.
 */
const DEBIAN_CMDLINE = "console=hvc0 quiet pci=off panic=-1 reboot=a";

/** Opens and reads what `boot` names. Close the result's files when it is loaded. */
export async function openBoot(
  boot: BootConfig,
  options: BootSourceOptions,
): Promise<BootImage> {
  switch (boot.kind) {
    case "flat":
      return { kind: "flat", image: readKernelFile(boot.flat, "boot.flat") };
    case "debian":
      return await openDebian(boot, options);
    case "kernel": {
      const { protocol, cmdline } = boot;
      const kernel = await openKernel(boot.kernel, protocol, options);
      const initrd = boot.initrd === undefined ? [] : [open(boot.initrd)];
      const sizes = initrd.map((file) => file.statSync().size);
      const initrdSize = sizes[0] ?? 0;
      return { kind: "kernel", kernel, initrd, initrdSize, cmdline };
    }
  }
}

/**
 * The same boot from files that are all there, and need no cache: Debian's guest as a kernel with its initrd, a kernel
 * that was unpacked. What has to be made for this run goes into `folder`.
 */
export async function prepareBoot(
  boot: BootConfig,
  folder: string,
  options: BootSourceOptions,
): Promise<BootConfig> {
  if (boot.kind === "flat") return boot;
  if (boot.kind === "kernel") {
    if (boot.protocol === "linux64") return boot;
    const kernel = await unpackIntoCache(boot.kernel, options);
    return kernel === null ? boot : { ...boot, kernel };
  }
  const { fetchGuest, scriptArchive } = await import("./initramfs.ts");
  const guest = await fetchGuest(options);
  const kernel = await unpackIntoCache(guest.kernel.vmlinuz, options);
  let initrd = guest.initramfs;
  if (boot.script !== undefined) {
    initrd = `${folder}/initrd`;
    await Deno.copyFile(guest.initramfs, initrd);
    const archive = scriptArchive(Deno.readTextFileSync(boot.script));
    await Deno.writeFile(initrd, archive, { append: true });
  }
  return {
    kind: "kernel",
    kernel: kernel ?? guest.kernel.vmlinuz,
    initrd,
    cmdline: debianCmdline(boot.cmdline, options),
    protocol: "auto",
  };
}

function debianCmdline(
  added: string,
  { mode = "shell", rebind }: BootSourceOptions,
): string {
  const own = rebind === true ? ["paddock.rebind=1"] : [];
  return [DEBIAN_CMDLINE, `paddock.mode=${mode}`, ...own, added].join(" ")
    .trim();
}

/** Closes the files of an image. */
export function closeBoot(image: BootImage): void {
  if (image.kind === "flat") return;
  for (const part of image.initrd) {
    if (!(part instanceof Uint8Array)) part.close();
  }
}

async function openDebian(
  boot: Extract<BootConfig, { kind: "debian" }>,
  options: BootSourceOptions,
): Promise<BootImage> {
  const { fetchGuest, scriptArchive } = await import("./initramfs.ts");
  const guest = await fetchGuest(options);
  const kernel = await openKernel(guest.kernel.vmlinuz, "auto", options);
  const file = open(guest.initramfs);
  const initrd: (Deno.FsFile | Uint8Array)[] = [file];
  let initrdSize = file.statSync().size;
  if (boot.script !== undefined) {
    const archive = scriptArchive(Deno.readTextFileSync(boot.script));
    initrd.push(archive);
    initrdSize += archive.length;
  }
  const cmdline = debianCmdline(boot.cmdline, options);
  return { kind: "kernel", kernel, initrd, initrdSize, cmdline };
}

function open(path: string): Deno.FsFile {
  return Deno.openSync(path);
}

/** A bzImage is unpacked here, which spares the guest that work; the result is kept in the cache. */
async function openKernel(
  path: string,
  protocol: "auto" | "linux64" | "pvh",
  { onProgress }: BootSourceOptions,
): Promise<KernelImage> {
  const cached = protocol === "linux64" ? null : await unpackedPath(path);
  const known = cached === null ? null : readCached(cached);
  if (known !== null) return parseKernel(known, "boot.kernel");
  const image = parseKernel(readKernelFile(path, "boot.kernel"), "boot.kernel");
  if (image.kind === "elf") {
    if (protocol !== "linux64") return image;
    throw new ManifestError(
      "boot.protocol",
      '"linux64" boots a bzImage, and the kernel is an ELF file; say "auto"',
    );
  }
  if (protocol === "linux64") return image;
  onProgress?.("Unpacking the kernel, once");
  const unpacked = await unpackKernel(image, "boot.kernel");
  if (unpacked !== null) {
    if (cached !== null) await keep(cached, unpacked.file);
    return unpacked;
  }
  if (protocol === "auto") return image;
  throw new ManifestError(
    "boot.protocol",
    '"pvh" needs a kernel with CONFIG_PVH that gzip, zstd or LZ4 packed; say "auto"',
  );
}

/** Puts the unpacked kernel into the cache, if it can be unpacked, and returns its path there. */
export async function unpackIntoCache(
  path: string,
  options: BootSourceOptions,
): Promise<string | null> {
  const kernel = await openKernel(path, "auto", options);
  const unpacked = kernel.kind === "elf" ? await unpackedPath(path) : null;
  // A full or read-only cache does not have it.
  return unpacked !== null && await exists(unpacked) ? unpacked : null;
}

/** How much of a kernel's head and tail tell it from others: version, build and checksum are there. */
const HEAD = 64 * 1024;
const TAIL = 4096;

/** Named after the file's content, so that a copy of it finds the same. Null without a cache folder. */
async function unpackedPath(path: string): Promise<string | null> {
  using file = Deno.openSync(path);
  const { size } = file.statSync();
  const ends = new Uint8Array(HEAD + TAIL);
  file.readSync(ends.subarray(0, HEAD));
  // There is nothing to unpack, and digests take their time.
  if (isElf(ends)) return null;
  file.seekSync(Math.max(0, size - TAIL), Deno.SeekMode.Start);
  file.readSync(ends.subarray(HEAD));
  try {
    const key = await contentKey([`${size}`, ends]);
    return `${cacheFolder()}/kernels/${key}.elf`;
  } catch {
    return null;
  }
}

async function keep(path: string, file: Uint8Array): Promise<void> {
  try {
    const folder = path.slice(0, path.lastIndexOf("/"));
    await Deno.mkdir(folder, { recursive: true });
    await writeWhole(path, file);
    await prune(folder);
  } catch {
    // A full or read-only cache only costs time at the next start.
  }
}

function readCached(path: string): Uint8Array | null {
  try {
    const file = Deno.readFileSync(path);
    touch(path);
    return file;
  } catch {
    return null;
  }
}

function readKernelFile(path: string, field: string): Uint8Array {
  const { size } = Deno.statSync(path);
  if (size > MAX_KERNEL) {
    throw new ManifestError(
      field,
      `The file has ${size} bytes, more than any kernel; name a kernel`,
    );
  }
  return Deno.readFileSync(path);
}
