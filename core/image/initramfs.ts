// Thread: main
// Builds the initramfs: busybox, an init script and the kernel modules it loads.

import init from "./init.sh" with { type: "text" };
import tour from "./tour.sh" with { type: "text" };
import {
  cacheFolder,
  contentKey,
  exists,
  prune,
  touch,
  writeWhole,
} from "./cache.ts";
import { type CpioEntry, writeCpio } from "./cpio.ts";
import {
  type DebianKernel,
  fetchBusybox,
  fetchKernel,
  type FetchOptions,
} from "./debian.ts";
import { resolveModules } from "./modules.ts";

/** What a guest needs to reach Paddock's devices; the first names are loaded first. */
export const GUEST_MODULES: readonly string[] = [
  "virtio_mmio",
  "virtio_console",
  "virtio_blk",
  "virtio_rng",
  "virtio_net",
  "virtiofs",
  "button",
  "pvpanic_mmio",
];

const FOLDERS = [
  "bin",
  "dev",
  "etc",
  "lib",
  "lib/modules",
  "mnt",
  "paddock",
  "proc",
  "root",
  "run",
  "sys",
  "tmp",
];
/** What is there whatever the guest is. */
const SKELETON: readonly CpioEntry[] = [
  ...FOLDERS.map((path) => ({ type: "directory", path }) as const),
  { type: "symlink", path: "sbin", target: "bin" },
  // What the kernel opens for init's first three files. Its own node (5:1) has no console behind it before init has
  // loaded hvc0's module: the kernel would complain, and init would start without them. Until devtmpfs, this does.
  { type: "device", path: "dev/null", major: 1, minor: 3 },
  { type: "symlink", path: "dev/console", target: "null" },
];

export interface InitramfsOptions {
  readonly kernel: DebianKernel;
  /** Loaded by the init script in this order, each after what it depends on. */
  readonly modules: readonly string[];
  /** Path of a static busybox. */
  readonly busybox: string;
  /** Text of /init. It finds module names in /paddock/modules. */
  readonly init: string;
  /** More files, by path without a leading slash. */
  readonly files?: Readonly<Record<string, string>>;
}

/** The path of Debian's guest: kernel, and an initramfs with our init (shell, tour or script). */
export interface DebianGuest {
  readonly kernel: DebianKernel;
  readonly initramfs: string;
}

/** Debian's kernel and the initramfs for it; a second call costs about a millisecond. */
export async function fetchGuest(
  options: FetchOptions = {},
): Promise<DebianGuest> {
  const kernel = await fetchKernel(options);
  const busybox = await fetchBusybox(options);
  const files = { "paddock/tour.sh": tour };
  const initramfs = await buildInitramfs({
    kernel,
    modules: GUEST_MODULES,
    busybox,
    init,
    files,
  });
  return { kernel, initramfs };
}

/** The path of the archive, in the cache and named after what it is made of. */
export async function buildInitramfs(
  options: InitramfsOptions,
): Promise<string> {
  const { kernel, modules, busybox, init, files = {} } = options;
  const key = await contentKey([
    JSON.stringify(SKELETON),
    kernel.modules,
    busybox,
    modules.join(),
    init,
    JSON.stringify(files),
  ]);
  const folder = `${cacheFolder()}/initramfs`;
  const path = `${folder}/${kernel.release}-${key}.cpio`;
  if (await exists(path)) {
    touch(path);
    return path;
  }
  await Deno.mkdir(folder, { recursive: true });
  await writeWhole(path, writeCpio(await initramfsEntries(options)));
  await prune(folder);
  return path;
}

/** An archive to append to an initramfs: init runs `script` with sh, then powers off. */
export function scriptArchive(script: string): Uint8Array<ArrayBuffer> {
  return writeCpio([
    { type: "directory", path: "paddock" },
    {
      type: "file",
      path: "paddock/script.sh",
      data: new TextEncoder().encode(script),
    },
  ]);
}

async function initramfsEntries(
  options: InitramfsOptions,
): Promise<CpioEntry[]> {
  const encoder = new TextEncoder();
  const modules = await resolveModules(options.kernel.modules, options.modules);
  const applets = await listApplets(options.busybox);
  return [
    ...SKELETON,
    {
      type: "file",
      path: "bin/busybox",
      mode: 0o755,
      data: await Deno.readFile(options.busybox),
    },
    ...applets.map((name) =>
      ({ type: "symlink", path: `bin/${name}`, target: "busybox" }) as const
    ),
    ...modules.map(({ name, data }) =>
      ({ type: "file", path: `lib/modules/${name}.ko`, data }) as const
    ),
    {
      type: "file",
      path: "paddock/modules",
      data: encoder.encode(modules.map(({ name }) => `${name}\n`).join("")),
    },
    ...Object.entries(options.files ?? {}).map(([path, text]) =>
      ({ type: "file", path, data: encoder.encode(text) }) as const
    ),
    {
      type: "file",
      path: "init",
      mode: 0o755,
      data: encoder.encode(options.init),
    },
  ];
}

async function listApplets(busybox: string): Promise<string[]> {
  const { stdout } = await new Deno.Command(busybox, { args: ["--list"] })
    .output();
  return new TextDecoder().decode(stdout).split("\n").filter((name) =>
    name !== "" && name !== "busybox"
  );
}
