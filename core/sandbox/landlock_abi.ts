// Thread: any
// linux/landlock.h for x86-64: numbers, structs, and which right came with which version of the ABI.
import { struct } from "../sys/struct.ts";

export const SYS_landlock_create_ruleset = 444;
export const SYS_landlock_add_rule = 445;
export const SYS_landlock_restrict_self = 446;
export const LANDLOCK_CREATE_RULESET_VERSION = 1;
export const LANDLOCK_RULE_PATH_BENEATH = 1;
export const LANDLOCK_RULE_NET_PORT = 2;

/** What may be done with a file; the kernel takes these for a file that is no folder. */
export const LANDLOCK_ACCESS_FS_EXECUTE = 1 << 0;
export const LANDLOCK_ACCESS_FS_WRITE_FILE = 1 << 1;
export const LANDLOCK_ACCESS_FS_READ_FILE = 1 << 2;
export const LANDLOCK_ACCESS_FS_TRUNCATE = 1 << 14;
export const LANDLOCK_ACCESS_FS_IOCTL_DEV = 1 << 15;
/** What may be done in a folder. */
export const LANDLOCK_ACCESS_FS_READ_DIR = 1 << 3;
export const LANDLOCK_ACCESS_FS_REMOVE_DIR = 1 << 4;
export const LANDLOCK_ACCESS_FS_REMOVE_FILE = 1 << 5;
export const LANDLOCK_ACCESS_FS_MAKE_CHAR = 1 << 6;
export const LANDLOCK_ACCESS_FS_MAKE_DIR = 1 << 7;
export const LANDLOCK_ACCESS_FS_MAKE_REG = 1 << 8;
export const LANDLOCK_ACCESS_FS_MAKE_SOCK = 1 << 9;
export const LANDLOCK_ACCESS_FS_MAKE_FIFO = 1 << 10;
export const LANDLOCK_ACCESS_FS_MAKE_BLOCK = 1 << 11;
export const LANDLOCK_ACCESS_FS_MAKE_SYM = 1 << 12;
export const LANDLOCK_ACCESS_FS_REFER = 1 << 13;

export const LANDLOCK_ACCESS_NET_BIND_TCP = 1 << 0;
export const LANDLOCK_ACCESS_NET_CONNECT_TCP = 1 << 1;
export const LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0;
export const LANDLOCK_SCOPE_SIGNAL = 1 << 1;

/** Older kernels know the head of it only, and take the rest as long as it is zero. */
export const LandlockRulesetAttr = struct({
  handled_access_fs: "u64",
  handled_access_net: "u64",
  scoped: "u64",
});
/** Packed in C, where it has 12 bytes; the kernel does not look at the padding here. */
export const LandlockPathBeneathAttr = struct({
  allowed_access: "u64",
  parent_fd: "i32",
});
export const LandlockNetPortAttr = struct({
  allowed_access: "u64",
  port: "u64",
});

type Handled = Pick<
  InstanceType<typeof LandlockRulesetAttr>,
  "handled_access_fs" | "handled_access_net" | "scoped"
>;

/** What each version of the ABI added (Documentation/userspace-api/landlock.rst), and what a kernel without it leaves open. */
const VERSIONS: readonly (Partial<Handled> & {
  readonly abi: number;
  readonly open: string;
})[] = [
  {
    abi: 1,
    handled_access_fs: (1 << 13) - 1,
    open: "files",
  },
  // Without this right the kernel lets nobody rename across folders.
  { abi: 2, handled_access_fs: LANDLOCK_ACCESS_FS_REFER, open: "" },
  {
    abi: 3,
    handled_access_fs: LANDLOCK_ACCESS_FS_TRUNCATE,
    open: "truncation of files",
  },
  {
    abi: 4,
    handled_access_net: LANDLOCK_ACCESS_NET_BIND_TCP |
      LANDLOCK_ACCESS_NET_CONNECT_TCP,
    open: "TCP ports",
  },
  {
    abi: 5,
    handled_access_fs: LANDLOCK_ACCESS_FS_IOCTL_DEV,
    open: "ioctls of host devices",
  },
  {
    abi: 6,
    scoped: LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL,
    open: "signals and abstract sockets",
  },
];

/** What a kernel with this version of the ABI can refuse. */
export function handledBy(abi: number): Handled {
  const handled = { handled_access_fs: 0, handled_access_net: 0, scoped: 0 };
  for (const version of VERSIONS) {
    if (version.abi > abi) continue;
    handled.handled_access_fs |= version.handled_access_fs ?? 0;
    handled.handled_access_net |= version.handled_access_net ?? 0;
    handled.scoped |= version.scoped ?? 0;
  }
  return handled;
}

/** What a kernel with this version of the ABI leaves open, a few words each. */
export function leftOpenBy(abi: number): string[] {
  return VERSIONS.filter((version) => version.abi > abi && version.open !== "")
    .map(({ open }) => open);
}
