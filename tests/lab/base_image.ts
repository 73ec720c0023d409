// The lab's base image: an ext4 file system, read-only and cached, with what stays the same between runs.

import { HostError } from "../../core/errors.ts";
import {
  cacheFolder,
  contentKey,
  exists,
  prune,
  touch,
  withCacheLock,
} from "../../core/image/cache.ts";
import type { FetchOptions } from "../../core/image/debian.ts";
import { libraryPath } from "./qemu.ts";

/** What the image is made from, apart from this Deno and the host's own libraries. */
export interface BaseParts {
  /** Path of a static busybox; every applet becomes a command. */
  readonly busybox: string;
  /** Folder from fetchQemu. */
  readonly qemu: string;
  /** Files and folders of the cache that appear at the same place in the lab. */
  readonly trees: readonly string[];
}

/**
 * Programs of the host that tests in the lab call; those that it lacks are left out. A shell is among
 * them because busybox's runs its own applets, whatever PATH has.
 */
const HOST_PROGRAMS = ["sh", "mke2fs", "e2fsck", "debugfs"];
/** What tests in the lab call of QEMU's: a VMM to compare with, and vhost-user back ends. */
const QEMU_PROGRAMS = [
  "bin/qemu-system-x86_64",
  "bin/qemu-system-x86_64-microvm",
  "bin/qemu-storage-daemon",
  "lib/qemu/virtiofsd",
];
const FOLDERS = ["dev", "etc", "proc", "root", "run", "sys", "tmp", "usr"];
/** Debian's layout: /bin is a link to usr/bin, and so on. */
const LINKED_FOLDERS = ["bin", "sbin", "lib", "lib64"];

/** The image's path, made now if what goes into it has changed. */
export async function ensureBaseImage(
  parts: BaseParts,
  options: FetchOptions,
): Promise<string> {
  const { size, mtime } = await Deno.stat(Deno.execPath());
  const recipe = await Deno.readTextFile(new URL(import.meta.url));
  const key = await contentKey([
    recipe,
    JSON.stringify([cacheFolder(), parts, Deno.execPath(), size, mtime]),
  ]);
  const folder = `${cacheFolder()}/lab`;
  const path = `${folder}/base-${key}.ext4`;
  if (await exists(path)) {
    touch(path);
    return path;
  }
  return await withCacheLock("lab", async () => {
    if (await exists(path)) return path;
    options.onProgress?.("Making the lab's base image (once)");
    await Deno.mkdir(folder, { recursive: true });
    // Another checkout of today may be about to open its own.
    await prune(folder, 1);
    await Deno.remove(`${folder}/stage`, { recursive: true }).catch(() => {});
    const stage = `${folder}/stage`;
    await stageFiles(stage, parts);
    await makeFileSystem(stage, path);
    await Deno.remove(stage, { recursive: true });
    return path;
  });
}

async function stageFiles(stage: string, parts: BaseParts): Promise<void> {
  await makeSkeleton(stage);
  const deno = Deno.execPath();
  const programs = [deno];
  for (const name of HOST_PROGRAMS) programs.push(...await which(name));
  for (const path of [...programs, ...parts.trees]) await place(stage, path);

  const users = [
    ...programs,
    ...QEMU_PROGRAMS.map((name) => `${parts.qemu}/usr/${name}`),
  ];
  for (const library of await findLibraries(users, parts.qemu)) {
    await place(stage, library);
  }
  await placeBusybox(stage, parts.busybox);
  if (!await exists(`${stage}/usr/bin/deno`)) {
    await Deno.symlink(deno, `${stage}/usr/bin/deno`);
  }
}

async function makeSkeleton(stage: string): Promise<void> {
  for (const name of FOLDERS) {
    await Deno.mkdir(`${stage}/${name}`, { recursive: true });
  }
  for (const name of LINKED_FOLDERS) {
    await Deno.mkdir(`${stage}/usr/${name}`);
    await Deno.symlink(`usr/${name}`, `${stage}/${name}`);
  }
  const home = Deno.env.get("HOME") ?? "/root";
  const files = {
    "etc/passwd": `root:x:0:0:root:${home}:/bin/sh\n`,
    "etc/group": "root:x:0:\n",
    "etc/hosts": "127.0.0.1 localhost lab\n::1 localhost\n",
  };
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(`${stage}/${name}`, text);
  }
}

async function placeBusybox(stage: string, busybox: string): Promise<void> {
  await capture("cp", [busybox, `${stage}/usr/bin/busybox`]);
  const applets = (await capture(busybox, ["--list"])).trim().split("\n");
  for (const name of applets) {
    const taken = await exists(`${stage}/usr/bin/${name}`) ||
      await exists(`${stage}/usr/sbin/${name}`);
    if (!taken) await Deno.symlink("busybox", `${stage}/usr/bin/${name}`);
  }
}

/** Puts a file or folder of the host at the same place in the stage: by hard links where possible. */
async function place(stage: string, source: string): Promise<void> {
  const isLinked = LINKED_FOLDERS.includes(source.split("/")[1] ?? "");
  const target = `${stage}${isLinked ? "/usr" : ""}${source}`;
  if (await exists(target)) return;
  const parent = target.slice(0, target.lastIndexOf("/"));
  await Deno.mkdir(parent, { recursive: true });
  const real = await Deno.realPath(source);
  try {
    await capture("cp", ["-a", "-l", real, target]);
  } catch {
    await Deno.remove(target, { recursive: true }).catch(() => {});
    await capture("cp", ["-a", real, target]);
  }
}

/** Every shared library that the programs load, by the path that the loader looks for. */
async function findLibraries(
  programs: string[],
  qemu: string,
): Promise<Set<string>> {
  const env = { LD_LIBRARY_PATH: libraryPath(qemu) };
  const found = new Set<string>();
  for (const program of programs) {
    const listing = await capture("ldd", [program], env);
    for (const match of listing.matchAll(/(?:=> |^\t)(\/[^ ]+) \(0x/gm)) {
      const path = match[1] as string;
      if (!path.startsWith(qemu)) found.add(path);
    }
  }
  return found;
}

async function makeFileSystem(stage: string, path: string): Promise<void> {
  const [mke2fs] = await which("mke2fs");
  if (mke2fs === undefined) {
    throw new HostError(
      "mke2fs is not on this host, and the lab's disk is made with it; install e2fsprogs",
    );
  }
  const usage = await capture("du", ["-sk", "--apparent-size", stage]);
  const mebibytes = Math.ceil(parseInt(usage) * 1.15 / 1024) + 32;
  const features = ["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0"];
  const temporary = `${path}.tmp`;
  await capture(mke2fs, [
    ...features,
    "-d",
    stage,
    temporary,
    `${mebibytes}M`,
  ]);
  await Deno.rename(temporary, path);
}

/** The program's path or nothing; /sbin is searched although it is not on every user's PATH. */
async function which(name: string): Promise<string[]> {
  const folders = (Deno.env.get("PATH") ?? "").split(":");
  for (const folder of [...folders, "/usr/sbin", "/sbin"]) {
    const path = `${folder}/${name}`;
    // A folder on PATH may be closed to us.
    if (await exists(path).catch(() => false)) return [path];
  }
  return [];
}

async function capture(
  program: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<string> {
  const command = new Deno.Command(program, { args, env, stdin: "null" });
  const { success, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  if (success) return decoder.decode(stdout);
  const reason = decoder.decode(stderr).trim().split("\n").at(-1);
  throw new HostError(`${program} failed: ${reason}`);
}
