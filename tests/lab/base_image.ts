// The lab's base image: an ext4 file system, read-only and cached, with what stays the same between runs.

import {
  cacheFolder,
  contentKey,
  exists,
  withCacheLock,
} from "../../core/image/cache.ts";
import {
  fetchBusybox,
  type FetchOptions,
  fetchProgram,
} from "../../core/image/debian.ts";
import { fetchGuest } from "../../core/image/initramfs.ts";
import { HostError } from "../../core/errors.ts";

/** Programs of the host that tests in the lab call; those that it lacks are left out. */
const HOST_PROGRAMS = ["mke2fs", "e2fsck", "debugfs"];
/** QEMU with its firmware and, for vhost-user tests, its storage daemon and virtiofsd. */
const QEMU_PACKAGES = [
  "qemu-system-x86",
  "qemu-system-common",
  "qemu-system-data",
  "seabios",
];
const QEMU_PROGRAMS = [
  "bin/qemu-system-x86_64",
  "bin/qemu-system-x86_64-microvm",
  "bin/qemu-storage-daemon",
  "lib/qemu/virtiofsd",
];
const USR_MERGED = ["bin", "sbin", "lib", "lib64"];

/** The folder with QEMU; see libraryPath. */
export function fetchQemu(options: FetchOptions = {}): Promise<string> {
  return fetchProgram(QEMU_PACKAGES, options);
}

/** The image's path, made now if what goes into it has changed. */
export async function ensureBaseImage(
  options: FetchOptions = {},
): Promise<string> {
  const busybox = await fetchBusybox(options);
  const guest = await fetchGuest(options);
  const qemu = await fetchQemu(options);
  const deno = await Deno.stat(Deno.execPath());
  const source = await (await fetch(import.meta.url)).text();
  const key = await contentKey([
    source,
    JSON.stringify([
      cacheFolder(),
      guest,
      busybox,
      qemu,
      Deno.execPath(),
      deno.size,
      deno.mtime,
    ]),
  ]);
  const path = `${cacheFolder()}/lab/base-${key}.ext4`;
  if (await exists(path)) return path;
  return await withCacheLock("lab", async () => {
    if (await exists(path)) return path;
    options.onProgress?.("Making the lab's base image (once)");
    await Deno.remove(`${cacheFolder()}/lab`, { recursive: true }).catch(
      () => {},
    );
    await Deno.mkdir(`${cacheFolder()}/lab`, { recursive: true });
    const stage = await Deno.makeTempDir({
      dir: `${cacheFolder()}/lab`,
      prefix: "stage-",
    });
    try {
      await stageFiles(stage, busybox, [
        guest.initramfs,
        `${cacheFolder()}/debian`,
      ], qemu);
      await makeFileSystem(stage, path);
    } finally {
      await Deno.remove(stage, { recursive: true });
    }
    return path;
  });
}

async function stageFiles(
  stage: string,
  busybox: string,
  trees: string[],
  qemu: string,
): Promise<void> {
  for (
    const name of ["dev", "proc", "sys", "run", "tmp", "etc", "root", "usr"]
  ) await Deno.mkdir(`${stage}/${name}`);
  for (const name of USR_MERGED) {
    await Deno.mkdir(`${stage}/usr/${name}`);
    await Deno.symlink(`usr/${name}`, `${stage}/${name}`);
  }
  await Deno.writeTextFile(
    `${stage}/etc/passwd`,
    `root:x:0:0:root:${Deno.env.get("HOME") ?? "/root"}:/bin/sh\n`,
  );
  await Deno.writeTextFile(`${stage}/etc/group`, "root:x:0:\n");
  await Deno.writeTextFile(
    `${stage}/etc/hosts`,
    "127.0.0.1 localhost\n::1 localhost\n",
  );

  const deno = Deno.execPath();
  await place(stage, deno);
  for (const tree of trees) await place(stage, tree);
  const programs = (await Promise.all(HOST_PROGRAMS.map(which))).filter((
    path,
  ) => path !== undefined);
  for (const program of programs) await place(stage, program);
  const qemuPrograms = QEMU_PROGRAMS.map((name) => `${qemu}/usr/${name}`);
  for (
    const library of await findLibraries(
      [deno, ...programs, ...qemuPrograms],
      qemu,
    )
  ) await place(stage, library);

  await place(stage, busybox, "/usr/bin/busybox");
  const applets = (await capture(busybox, ["--list"])).trim().split("\n");
  for (const name of applets) {
    const taken = await exists(`${stage}/usr/bin/${name}`) ||
      await exists(`${stage}/usr/sbin/${name}`);
    if (!taken) await Deno.symlink("busybox", `${stage}/usr/bin/${name}`);
  }
  if (!await exists(`${stage}/usr/bin/deno`)) {
    await Deno.symlink(deno, `${stage}/usr/bin/deno`);
  }
}

/** Puts a file or folder of the host at the same place in the stage: hard links where possible. */
async function place(
  stage: string,
  source: string,
  at = source,
): Promise<void> {
  const folder = at.slice(0, at.lastIndexOf("/"));
  const target = `${stage}${await realFolder(stage, folder)}/${
    at.slice(folder.length + 1)
  }`;
  if (await exists(target)) return;
  await Deno.mkdir(target.slice(0, target.lastIndexOf("/")), {
    recursive: true,
  });
  const real = await Deno.realPath(source);
  try {
    await capture("cp", ["-a", "-l", real, target]);
  } catch {
    await Deno.remove(target, { recursive: true }).catch(() => {});
    await capture("cp", ["-a", real, target]);
  }
}

/** /lib64 is a link to usr/lib64 in the stage, whether or not it is one on the host. */
function realFolder(_stage: string, folder: string): string {
  const first = folder.split("/")[1] ?? "";
  return USR_MERGED.includes(first) ? `/usr${folder}` : folder;
}

/** Every shared library that the programs load, with the path that the loader looks for. */
async function findLibraries(
  programs: string[],
  qemu: string,
): Promise<Set<string>> {
  const found = new Set<string>();
  for (const program of programs) {
    const listing = await capture("ldd", [program], {
      LD_LIBRARY_PATH: libraryPath(qemu),
    });
    for (const [, path] of listing.matchAll(/(?:=> |^\t)(\/[^ ]+) \(0x/gm)) {
      if (path !== undefined && !path.startsWith(qemu)) found.add(path);
    }
  }
  return found;
}

/** LD_LIBRARY_PATH for a program from fetchProgram. */
export function libraryPath(tree: string): string {
  return `${tree}/usr/lib/x86_64-linux-gnu:${tree}/lib/x86_64-linux-gnu`;
}

async function makeFileSystem(stage: string, path: string): Promise<void> {
  const kib = Number(
    (await capture("du", ["-sk", "--apparent-size", stage])).split("\t")[0],
  );
  const size = Math.ceil(kib * 1.15 / 1024) + 32;
  const mke2fs = await which("mke2fs");
  if (mke2fs === undefined) {
    throw new HostError(
      "mke2fs is not on this host; install e2fsprogs, the lab's disk is made with it",
    );
  }
  const temporary = `${path}.${Deno.pid}.tmp`;
  try {
    await capture(mke2fs, [
      "-q",
      "-t",
      "ext4",
      "-O",
      "^has_journal",
      "-m",
      "0",
      "-d",
      stage,
      temporary,
      `${size}M`,
    ]);
    await Deno.rename(temporary, path);
  } finally {
    await Deno.remove(temporary).catch(() => {});
  }
}

/** The program's path; /sbin is searched although it is not on every user's PATH. */
export async function which(name: string): Promise<string | undefined> {
  const folders = (Deno.env.get("PATH") ?? "").split(":").concat(
    "/usr/sbin",
    "/sbin",
  );
  for (const folder of folders) {
    if (await exists(`${folder}/${name}`)) return `${folder}/${name}`;
  }
  return undefined;
}

async function capture(
  program: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args,
    env,
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  if (!success) {
    throw new HostError(
      `${program} failed: ${decoder.decode(stderr).trim().split("\n").at(-1)}`,
    );
  }
  return decoder.decode(stdout);
}
