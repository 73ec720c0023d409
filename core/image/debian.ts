// Thread: main
// Debian packages by apt's own download, unpacked in the user's cache: no root, nothing installed.

import { HostError } from "../errors.ts";
import { cacheFolder, exists, withCacheLock, writeWhole } from "./cache.ts";

export interface FetchOptions {
  /** Called with a line of progress before each slow step. */
  readonly onProgress?: (message: string) => void;
}

/** A kernel of Debian's: `modules` is its lib/modules/RELEASE folder. */
export interface DebianKernel {
  readonly release: string;
  readonly vmlinuz: string;
  readonly modules: string;
}

/** What the cache holds: folders, relative to the index, by the name they were asked for. */
interface Index {
  folders: Record<string, string>;
  /** The package that a meta package stands for. */
  meta: Record<string, string>;
}

const KERNEL_PACKAGE = "linux-image-cloud-amd64";
const UNPACKING = "unpacking-";
const REMEDY =
  "on a host that is not Debian or Ubuntu, name your own files in the manifest (boot.kernel, boot.initrd)";

function debianFolder(): string {
  return `${cacheFolder()}/debian`;
}

/** Each package's unpacked folder, by name. What is in the cache already starts no process. */
export async function fetchPackages(
  names: readonly string[],
  options: FetchOptions = {},
): Promise<Map<string, string>> {
  const cached = await lookUp(names);
  if (cached) return cached;
  return await withCacheLock("debian", async () => {
    for (const name of names) {
      if (!await lookUp([name])) await fetchTree(name, [name], options);
    }
    return await lookUp(names) ??
      fail(`${names.join(", ")}: the download left nothing behind`);
  });
}

/**
 * One folder with the packages and every library they need that this host does not have
 * installed: programs in it start with LD_LIBRARY_PATH=FOLDER/usr/lib/x86_64-linux-gnu.
 */
export async function fetchProgram(
  packages: readonly string[],
  options: FetchOptions = {},
): Promise<string> {
  const key = packages.join("+");
  const cached = (await lookUp([key]))?.get(key);
  if (cached) return cached;
  return await withCacheLock("debian", async () => {
    if (!await lookUp([key])) {
      const all = new Set([
        ...packages,
        ...await missingDependencies(packages, options),
      ]);
      await fetchTree(key, [...all], options);
    }
    return (await lookUp([key]))?.get(key) ??
      fail(`${key}: the download left nothing behind`);
  });
}

/** Debian's cloud kernel, which has every virtio driver as a module. */
export async function fetchKernel(
  options: FetchOptions = {},
): Promise<DebianKernel> {
  let name = (await readIndex()).meta[KERNEL_PACKAGE];
  if (name === undefined) {
    name = await withCacheLock(
      "debian",
      () => resolveMeta(KERNEL_PACKAGE, options),
    );
  }
  const folder = (await fetchPackages([name], options)).get(name) as string;
  const release = name.replace("linux-image-", "");
  return {
    release,
    vmlinuz: `${folder}/boot/vmlinuz-${release}`,
    modules: `${folder}/lib/modules/${release}`,
  };
}

/** The path of a static busybox. */
export async function fetchBusybox(
  options: FetchOptions = {},
): Promise<string> {
  const name = "busybox-static";
  const folder = (await fetchPackages([name], options)).get(name) as string;
  return `${folder}/bin/busybox`;
}

async function readIndex(): Promise<Index> {
  try {
    return JSON.parse(await Deno.readTextFile(`${debianFolder()}/index.json`));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { folders: {}, meta: {} };
    throw error;
  }
}

async function updateIndex(change: (index: Index) => void): Promise<void> {
  const index = await readIndex();
  change(index);
  await writeWhole(
    `${debianFolder()}/index.json`,
    JSON.stringify(index, null, 2) + "\n",
  );
}

async function lookUp(
  names: readonly string[],
): Promise<Map<string, string> | undefined> {
  const { folders } = await readIndex();
  const found = new Map<string, string>();
  for (const name of names) {
    const folder = `${debianFolder()}/${folders[name]}`;
    if (folders[name] === undefined || !await exists(folder)) return undefined;
    found.set(name, folder);
  }
  return found;
}

/** Downloads `packages` and unpacks them into one folder that the index then knows as `key`. */
async function fetchTree(
  key: string,
  packages: string[],
  options: FetchOptions,
): Promise<void> {
  const base = debianFolder();
  await Deno.mkdir(base, { recursive: true });
  await removeLeftovers(base);
  const work = await Deno.makeTempDir({ dir: base, prefix: UNPACKING });
  try {
    options.onProgress?.(
      `Downloading ${packages.join(", ")} (once; kept in ${base})`,
    );
    await download(packages, work, options);
    await Deno.mkdir(`${work}/tree`);
    const archives = [...Deno.readDirSync(work)].map(({ name }) => name)
      .filter((name) => name.endsWith(".deb"));
    for (const archive of archives) {
      await run("dpkg-deb", ["-x", `${work}/${archive}`, `${work}/tree`]);
    }
    const folder = folderName(packages[0] as string, archives);
    await Deno.remove(`${base}/${folder}`, { recursive: true }).catch(() => {});
    await Deno.rename(`${work}/tree`, `${base}/${folder}`);
    await updateIndex((index) => index.folders[key] = folder);
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

/** What a run that was killed left; the lock is ours. */
async function removeLeftovers(base: string): Promise<void> {
  for (const { name } of Deno.readDirSync(base)) {
    if (!name.startsWith(UNPACKING)) continue;
    await Deno.remove(`${base}/${name}`, { recursive: true });
  }
}

/** PACKAGE_VERSION, from PACKAGE_VERSION_ARCH.deb. A colon (the epoch) would split search paths. */
function folderName(name: string, archives: string[]): string {
  const archive = archives.find((each) => each.startsWith(`${name}_`)) ??
    fail(`${name} was not downloaded`);
  return archive.split("_", 2).join("_").replaceAll("%3a", ".");
}

/** apt-get download; once more with fresh lists if the archive has moved on since the last look. */
async function download(
  packages: string[],
  into: string,
  options: FetchOptions,
): Promise<void> {
  await withLists(
    options,
    () =>
      run("apt-get", [...aptOptions(), "-qq", "download", ...packages], into),
  );
}

async function resolveMeta(
  name: string,
  options: FetchOptions,
): Promise<string> {
  const text = await withLists(
    options,
    () =>
      run("apt-cache", [...aptOptions(), "show", "--no-all-versions", name]),
  );
  const concrete = /^Depends: (?:.*, )?(linux-image-[^ ,]+)/m.exec(text)?.[1] ??
    fail(`${name} names no kernel package`);
  await updateIndex((index) => index.meta[name] = concrete);
  return concrete;
}

/** What `apt-get install` would add to this host: "Inst libfdt1 (1.6.1-4+b1 …)" a line. */
async function missingDependencies(
  packages: readonly string[],
  options: FetchOptions,
): Promise<string[]> {
  const simulate = [
    "-qq",
    "--no-install-recommends",
    "--simulate",
    "install",
    ...packages,
  ];
  const text = await withLists(
    options,
    () => run("apt-get", [...aptOptions(), ...simulate]),
  );
  return [...text.matchAll(/^Inst ([^ ]+)/gm)].map((match) =>
    match[1] as string
  );
}

async function withLists(
  options: FetchOptions,
  command: () => Promise<string>,
): Promise<string> {
  const lists = `${debianFolder()}/apt/lists`;
  if (await exists(lists)) {
    try {
      return await command();
    } catch {
      // The lists may be older than what the archive still serves.
    }
  }
  options.onProgress?.("Updating the package lists");
  await Deno.mkdir(`${lists}/partial`, { recursive: true });
  await Deno.mkdir(`${debianFolder()}/apt/archives/partial`, {
    recursive: true,
  });
  // One source out of order fails the update, although the others may have what is wanted.
  const update = run("apt-get", [...aptOptions(), "-qq", "update"]);
  const [updated] = await Promise.allSettled([update]);
  try {
    return await command();
  } catch (error) {
    throw updated.status === "rejected" ? updated.reason : error;
  }
}

/** The host's sources and keys, but state of our own, so that neither root nor its locks are needed. */
function aptOptions(): string[] {
  const apt = `${debianFolder()}/apt`;
  const settings = [
    `Dir::State::lists=${apt}/lists`,
    `Dir::Cache=${apt}`,
    "APT::Sandbox::User=",
    "Debug::NoLocking=1",
  ];
  return settings.flatMap((setting) => ["-o", setting]);
}

async function run(
  program: string,
  args: string[],
  cwd?: string,
): Promise<string> {
  let output: Deno.CommandOutput;
  try {
    output = await new Deno.Command(program, {
      args,
      stdin: "null",
      env: { LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive" },
      ...(cwd === undefined ? {} : { cwd }),
    }).output();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      fail(`${program} is not on this host`, error);
    }
    throw error;
  }
  const decoder = new TextDecoder();
  if (!output.success) {
    const lines = decoder.decode(output.stderr).trim().split("\n");
    const reason = lines.findLast((line) => line.startsWith("E: ")) ??
      lines.at(-1);
    fail(`${program} failed: ${reason || `status ${output.code}`}`);
  }
  return decoder.decode(output.stdout);
}

function fail(problem: string, cause?: Error): never {
  throw new HostError(`${problem}; ${REMEDY}`, cause ? { cause } : {});
}
