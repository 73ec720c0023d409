// Thread: main
// The least that a process which runs a VM must be allowed, and how Deno's command line says that.
import { ManifestError } from "../errors.ts";
import type { PermissionSet } from "../manifest/built_in.ts";
import type { BootConfig, VmConfig } from "../manifest/config.ts";
import { quote } from "../manifest/text.ts";
import { SHMEM_ENABLED } from "../memory/guest_memory.ts";
import { runsFolder } from "../sys/run_folder.ts";
import { DENO_VARIABLES } from "./deno_rights.ts";
import { moduleFolders } from "./grants.ts";
import type { LandlockRules } from "./landlock.ts";

/** What the configuration does not say. */
export interface VmPlaces {
  /** The manifest's file, where there is one to read. */
  readonly manifest: string | undefined;
  /** The cache folder, where something of the boot comes from it. */
  readonly cache: string | undefined;
}

const CACHE_VARIABLES = ["PADDOCK_CACHE", "XDG_CACHE_HOME", "HOME"] as const;
const NAMES = ["read", "write", "net", "env", "run", "import"] as const;

/** FFI comes on top: without it there is no KVM. */
export function vmPermissions(
  { boot, devices: all }: VmConfig,
  { manifest, cache }: VmPlaces,
): PermissionSet {
  // What another program serves needs nothing here.
  const devices = all.filter(({ backEnd }) => backEnd === undefined);
  const granted = (name: keyof PermissionSet) =>
    devices.flatMap(({ permissions }) => permissions[name]);
  const plugins = devices.filter(({ builtIn }) => !builtIn);
  const disks = devices.flatMap(({ disk }) => disk ?? []);
  // Who reads the manifest asks plugins what they declare, in a process of Deno's; those that have processes of their own
  // are reached through a folder of the run's.
  const inspects = manifest !== undefined && plugins.length > 0;
  const set: PermissionSet = {
    read: [
      ...codeFolders(),
      ...plugins.flatMap(({ module }) => moduleFolders(module)),
      ...[manifest, cache].filter((path) => path !== undefined),
      ...bootFiles(boot),
      ...disks.map(({ path }) => path),
      ...inspects ? [runsFolder()] : [],
      ...granted("read"),
    ],
    write: [
      ...disks.filter(({ writable }) => writable).map(({ path }) => path),
      ...inspects ? [runsFolder()] : [],
      ...granted("write"),
    ],
    net: granted("net"),
    env: [
      ...cache === undefined ? [] : CACHE_VARIABLES,
      ...inspects ? DENO_VARIABLES : [],
      ...granted("env"),
    ],
    run: [...inspects ? [Deno.execPath()] : [], ...granted("run")],
    import: granted("import"),
  };
  return distinct(set);
}

/** The same for the kernel: FFI is bound by nothing else. Ports are Landlock's business, hosts are Deno's. */
export function vmRules(permissions: PermissionSet): Partial<LandlockRules> {
  const { read, write, run, net } = permissions;
  const ports = net.map((host) => Number(/:([0-9]+)$/.exec(host)?.[1]));
  const connect = ports.some(Number.isNaN) ? "any" : ports;
  return {
    read: [...read, SHMEM_ENABLED],
    write,
    exec: run,
    devices: ["/dev/kvm"],
    bind: connect,
    connect,
  };
}

/** The flags of `deno run`. Throws a ManifestError for a value that they cannot hold. */
export function denoFlags(permissions: PermissionSet): string[] {
  const lists = NAMES.filter((name) => permissions[name].length > 0).map(
    (name) => {
      permissions[name].forEach(refuseComma);
      return `--allow-${name}=${permissions[name].join(",")}`;
    },
  );
  return ["--allow-ffi", ...lists];
}

/** Deno separates values by commas, and knows no other way to write one. */
export function refuseComma(value: string): void {
  if (!value.includes(",")) return;
  throw new ManifestError(
    "",
    `${
      quote(value)
    } has a comma, which no permission of Deno's can hold; rename it`,
  );
}

/**
 * The variables of the environment that are granted, where they are set; and PATH, which Deno itself finds granted
 * programs by.
 */
export function grantedEnvironment(
  { env, run }: Pick<PermissionSet, "env" | "run">,
): Record<string, string> {
  const names = run.length > 0 ? [...env, "PATH"] : env;
  const set = names.map((name) => [name, Deno.env.get(name)] as const);
  return Object.fromEntries(
    set.filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

/** Threads are started from modules that their parent may read: those of the core, and of the built-in devices. */
function codeFolders(): string[] {
  return ["../", "../../devices/"]
    .map((path) => new URL(path, import.meta.url))
    .filter(({ protocol }) => protocol === "file:")
    .map(({ pathname }) => decodeURIComponent(pathname));
}

function bootFiles(boot: BootConfig): string[] {
  const { flat, kernel, initrd, script } = boot as Partial<
    Record<"flat" | "kernel" | "initrd" | "script", string>
  >;
  return [flat, kernel, initrd, script].filter((path) => path !== undefined);
}

/** Each value once, and no path beneath another: it is allowed with that. */
function distinct(set: PermissionSet): PermissionSet {
  const once = (name: keyof PermissionSet) => [...new Set(set[name])];
  const folder = (path: string) => path.replace(/\/?$/, "/");
  // A folder may be there with a slash and without one.
  const outermost = (paths: readonly string[]) =>
    paths.filter((path, index) =>
      !paths.some((other, before) =>
        folder(path).startsWith(folder(other)) &&
        (before < index || folder(path) !== folder(other))
      )
    );
  return {
    read: outermost(once("read")),
    write: outermost(once("write")),
    net: once("net"),
    env: once("env"),
    run: once("run"),
    import: once("import"),
  };
}
