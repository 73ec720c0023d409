// Thread: main
// The user that a machine's processes run as instead of root.
import { ManifestError } from "../errors.ts";
import { check, cString, libc } from "../sys/libc.ts";

export interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** All groups, `gid` among them. */
  readonly groups: readonly number[];
}

/** Of struct passwd, after the pointers to the name and the password. */
const PW_UID = 16;
const PW_GID = 20;
const MAX_GROUPS = 256;

/** Looks a user up. Throws a ManifestError where there is none, or where this process may not become it. */
export function findUser(name: string): User {
  if (libc.geteuid() !== 0) {
    throw new ManifestError(
      "user",
      `only root can run a machine as ${name}; leave it out`,
    );
  }
  const entry = libc.getpwnam(cString(name));
  if (entry === null) {
    throw new ManifestError(
      "user",
      `there is no ${name}; make one: useradd --system --groups kvm ${name}`,
    );
  }
  // SAFETY: libc's own memory, read before it is asked again.
  const passwd = new Deno.UnsafePointerView(entry);
  const uid = passwd.getUint32(PW_UID);
  const gid = passwd.getUint32(PW_GID);
  if (uid === 0) {
    throw new ManifestError("user", `${name} is root; name another`);
  }
  const groups = new Uint32Array(MAX_GROUPS);
  const count = Uint32Array.of(MAX_GROUPS);
  check(
    `getgrouplist ${name}`,
    libc.getgrouplist(
      cString(name),
      gid,
      new Uint8Array(groups.buffer),
      new Uint8Array(count.buffer),
    ),
  );
  return { name, uid, gid, groups: [...groups.subarray(0, count[0])] };
}

/** Gives the user a file or folder that was made for the machine. */
export function giveTo(user: User | null, path: string): void {
  if (user === null) return;
  check(`chown ${path}`, libc.chown(cString(path), user.uid, user.gid));
}
