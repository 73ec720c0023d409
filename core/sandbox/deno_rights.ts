// Thread: main
// What a deno process that is closed by Landlock must still read and execute, found by starting one with less.
import { HostError } from "../errors.ts";
import { cString, libc } from "../sys/libc.ts";
import { O_PATH } from "../sys/linux.ts";
import { readText } from "../sys/fd.ts";

/** Nothing else of /etc is needed, and nothing of /sys. */
const LOADER_CACHE = "/etc/ld.so.cache";
/**
 * Where a module's emit is not cached, Deno's parser asks glibc for its stack, which reads /proc/self/maps, and panics
 * without. A process's own folder has no name before it is started, so it is all of /proc; Landlock's rule on ptrace
 * keeps the memory, environment and fds of other processes closed there.
 */
const PROC = "/proc";
/** What glibc and Deno look up for names and certificates, for a process with a network. */
export const NETWORK_FILES = [
  "/etc/resolv.conf",
  "/etc/hosts",
  "/etc/nsswitch.conf",
  "/etc/host.conf",
  "/etc/gai.conf",
  "/etc/ssl/certs",
] as const;

/** What Deno looks for when it starts, and does well without: quotas, its time zone, randomness that it has a call for. */
export const DENO_TRIES = [
  "/sys/fs/cgroup",
  "/usr/share/zoneinfo",
  "/dev/urandom",
] as const;

/** The folder that holds core/ and deno.json; undefined where Paddock itself was loaded from elsewhere than files. */
const ROOT = new URL("../../", import.meta.url);
const root = ROOT.protocol === "file:"
  ? decodeURIComponent(ROOT.pathname)
  : undefined;

/** deno.json with the import map, where Paddock is files. */
export const configFile: string | undefined = root && `${root}deno.json`;

/** The files and folders that every deno process of ours reads. */
export function denoReads(): string[] {
  const cache = denoDir();
  // The rest of the cache are databases, which it does without, and other programs' localStorage.
  return [
    Deno.execPath(),
    ...loadedLibraries(),
    LOADER_CACHE,
    PROC,
    ...["npm", "gen", "remote"].map((name) => `${cache}/${name}`),
    ...root === undefined ? [] : [
      `${root}core`,
      `${root}devices`,
      `${root}deno.json`,
      `${root}deno.lock`,
    ],
  ].filter(exists);
}

/** Deno, and what the kernel starts it with: the dynamic loader. */
export function denoExecutables(): string[] {
  return [
    Deno.execPath(),
    ...loadedLibraries().filter((path) => /\/ld-[^/]*$/.test(path)),
  ];
}

/** Variables that are looked at for it. */
export const DENO_VARIABLES = [
  "DENO_DIR",
  "XDG_CACHE_HOME",
  "HOME",
  "NPM_CONFIG_REGISTRY",
] as const;

/** The environment that a deno process of ours finds its cache by. */
export function denoEnvironment(): Record<string, string> {
  const registry = Deno.env.get("NPM_CONFIG_REGISTRY");
  return {
    DENO_DIR: denoDir(),
    DENO_NO_UPDATE_CHECK: "1",
    // The cache's folders are named after it.
    ...registry === undefined ? {} : { NPM_CONFIG_REGISTRY: registry },
  };
}

/** Deno's cache. */
export function denoDir(): string {
  const own = Deno.env.get("DENO_DIR");
  if (own) return own;
  const shared = Deno.env.get("XDG_CACHE_HOME");
  if (shared) return `${shared}/deno`;
  const home = Deno.env.get("HOME");
  if (home) return `${home}/.cache/deno`;
  throw new HostError(
    "Deno's cache cannot be found: set HOME, or DENO_DIR to its folder",
  );
}

/** The shared libraries of this process, which are those of its child: it is the same program. */
function loadedLibraries(): string[] {
  const paths = readText("/proc/self/maps").split("\n")
    .filter((line) => line.split(" ")[1]?.includes("x"))
    .map((line) => /\S+ \S+ \S+ \S+ \d+ +(\/.*)$/.exec(line)?.[1])
    .filter((path) => path !== undefined && path !== Deno.execPath());
  return [...new Set(paths as string[])];
}

/** By libc: what is not there needs no grant, and asking Deno would need one. */
function exists(path: string): boolean {
  const fd = libc.open(cString(path), O_PATH, 0);
  if (fd >= 0) libc.close(fd);
  return fd >= 0;
}
