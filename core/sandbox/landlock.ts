// Thread: any
// Landlock: takes files, TCP ports, signals and abstract sockets away from the calling thread and what it starts.
import { check, cString, errno, libc } from "../sys/libc.ts";
import { processLibc } from "../sys/process_libc.ts";
import { O_CLOEXEC, O_PATH } from "../sys/linux.ts";
import { Fd } from "../sys/fd.ts";
import * as abi from "./landlock_abi.ts";
import { setNoNewPrivs } from "./privileges.ts";

/** What stays allowed. Paths are absolute, follow symlinks when they are applied, and mean all that is beneath them. */
export interface LandlockRules {
  readonly read: readonly string[];
  /** Create, write, truncate, rename, remove; not read. */
  readonly write: readonly string[];
  /** Execute, and read. */
  readonly exec: readonly string[];
  /** Device nodes to read, write and ioctl. */
  readonly devices: readonly string[];
  /** TCP ports. */
  readonly bind: readonly number[] | "any";
  readonly connect: readonly number[] | "any";
}

const O_DIRECTORY = 0o200000;
const ENOTDIR = 20;

/** What can be granted on a file; the rest is for folders (EINVAL otherwise). */
const FILE_ACCESS = abi.LANDLOCK_ACCESS_FS_EXECUTE |
  abi.LANDLOCK_ACCESS_FS_READ_FILE | abi.LANDLOCK_ACCESS_FS_WRITE_FILE |
  abi.LANDLOCK_ACCESS_FS_TRUNCATE | abi.LANDLOCK_ACCESS_FS_IOCTL_DEV;

/** Device nodes cannot be made by anyone. */
const ACCESS = {
  read: abi.LANDLOCK_ACCESS_FS_READ_FILE | abi.LANDLOCK_ACCESS_FS_READ_DIR,
  write: abi.LANDLOCK_ACCESS_FS_WRITE_FILE | abi.LANDLOCK_ACCESS_FS_TRUNCATE |
    abi.LANDLOCK_ACCESS_FS_REMOVE_DIR | abi.LANDLOCK_ACCESS_FS_REMOVE_FILE |
    abi.LANDLOCK_ACCESS_FS_MAKE_DIR | abi.LANDLOCK_ACCESS_FS_MAKE_REG |
    abi.LANDLOCK_ACCESS_FS_MAKE_SOCK | abi.LANDLOCK_ACCESS_FS_MAKE_FIFO |
    abi.LANDLOCK_ACCESS_FS_MAKE_SYM | abi.LANDLOCK_ACCESS_FS_REFER,
  exec: abi.LANDLOCK_ACCESS_FS_EXECUTE | abi.LANDLOCK_ACCESS_FS_READ_FILE |
    abi.LANDLOCK_ACCESS_FS_READ_DIR,
  devices: abi.LANDLOCK_ACCESS_FS_READ_FILE |
    abi.LANDLOCK_ACCESS_FS_WRITE_FILE | abi.LANDLOCK_ACCESS_FS_IOCTL_DEV,
} as const;

/** The version of Landlock's ABI; 0 where the kernel has none or does not use it. */
export function landlockAbi(): number {
  const version = processLibc.syscallLandlockCreateRuleset(
    abi.SYS_landlock_create_ruleset,
    null,
    0,
    abi.LANDLOCK_CREATE_RULESET_VERSION,
  );
  return Math.max(version, 0);
}

/**
 * Confines the calling thread, and what it starts, for good; threads that run already stay free. Returns what could
 * not be done, a phrase each: what the kernel is too old to refuse, and grants on paths that do not exist.
 */
export function restrictThread(rules: LandlockRules): string[] {
  setNoNewPrivs();
  const version = landlockAbi();
  const missing = abi.leftOpenBy(version)
    .map((open) => `Landlock leaves ${open} open (ABI ${version})`);
  if (version === 0) return missing;
  const handled = handledFor(rules, version);
  using ruleset = createRuleset(handled);
  for (const kind of ["read", "write", "exec", "devices"] as const) {
    for (const path of rules[kind]) {
      const access = ACCESS[kind] & handled.handled_access_fs;
      if (!allowPath(ruleset, path, access)) {
        missing.push(`${kind} of ${path} is not granted: no such file`);
      }
    }
  }
  allowPorts(ruleset, rules.bind, abi.LANDLOCK_ACCESS_NET_BIND_TCP, handled);
  allowPorts(
    ruleset,
    rules.connect,
    abi.LANDLOCK_ACCESS_NET_CONNECT_TCP,
    handled,
  );
  check(
    "landlock_restrict_self",
    processLibc.syscallLandlockRestrictSelf(
      abi.SYS_landlock_restrict_self,
      ruleset.fd,
      0,
    ),
  );
  return missing;
}

type Handled = ReturnType<typeof abi.handledBy>;

function handledFor(rules: LandlockRules, version: number): Handled {
  const handled = abi.handledBy(version);
  if (rules.bind === "any") {
    handled.handled_access_net &= ~abi.LANDLOCK_ACCESS_NET_BIND_TCP;
  }
  if (rules.connect === "any") {
    handled.handled_access_net &= ~abi.LANDLOCK_ACCESS_NET_CONNECT_TCP;
  }
  return handled;
}

function createRuleset(handled: Handled): Fd {
  const attr = Object.assign(new abi.LandlockRulesetAttr(), handled);
  return new Fd(check(
    "landlock_create_ruleset",
    processLibc.syscallLandlockCreateRuleset(
      abi.SYS_landlock_create_ruleset,
      attr.bytes,
      attr.bytes.length,
      0,
    ),
  ));
}

/** False where there is no such file. */
function allowPath(ruleset: Fd, path: string, access: number): boolean {
  const open = (flags: number) =>
    libc.open(cString(path), O_PATH | O_CLOEXEC | flags, 0);
  const folder = open(O_DIRECTORY);
  const isFile = folder < 0 && errno() === ENOTDIR;
  const fd = isFile ? open(0) : folder;
  if (fd < 0) return false;
  using parent = new Fd(fd);
  const attr = new abi.LandlockPathBeneathAttr();
  attr.allowed_access = isFile ? access & FILE_ACCESS : access;
  attr.parent_fd = parent.fd;
  addRule(ruleset, abi.LANDLOCK_RULE_PATH_BENEATH, attr.bytes, path);
  return true;
}

function allowPorts(
  ruleset: Fd,
  ports: readonly number[] | "any",
  access: number,
  handled: Handled,
): void {
  if (ports === "any" || (handled.handled_access_net & access) === 0) return;
  for (const port of ports) {
    const attr = new abi.LandlockNetPortAttr();
    attr.allowed_access = access;
    attr.port = port;
    addRule(ruleset, abi.LANDLOCK_RULE_NET_PORT, attr.bytes, `port ${port}`);
  }
}

function addRule(
  ruleset: Fd,
  type: number,
  attr: Uint8Array<ArrayBuffer>,
  what: string,
): void {
  check(
    `landlock_add_rule ${what}`,
    processLibc.syscallLandlockAddRule(
      abi.SYS_landlock_add_rule,
      ruleset.fd,
      type,
      attr,
      0,
    ),
  );
}
