// Thread: main
// The user that a machine's processes run as instead of root.
import { ManifestError } from "../errors.ts";
import type { Fd } from "../sys/fd.ts";
import { check, cString, libc } from "../sys/libc.ts";
import { processLibc } from "../sys/process_libc.ts";

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
  const entry = processLibc.getpwnam(cString(name));
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
  const result = processLibc.getgrouplist(
    cString(name),
    gid,
    new Uint8Array(groups.buffer),
    new Uint8Array(count.buffer),
  );
  if (result < 0) {
    throw new ManifestError("user", `${name} is in too many groups`);
  }
  return { name, uid, gid, groups: [...groups.subarray(0, count[0])] };
}

/** Gives the user what was made for the machine and is open. */
export function giveTo({ uid, gid }: User, { fd }: Fd): void {
  check("fchown", processLibc.fchown(fd, uid, gid));
}

/** Lets the user read a folder of ours and the files that are in it by now; it stays ours to change. */
export function showTo({ gid }: User, folder: string): void {
  for (const { name, isFile } of Deno.readDirSync(folder)) {
    if (!isFile) continue;
    Deno.chmodSync(`${folder}/${name}`, 0o640);
    Deno.chownSync(`${folder}/${name}`, null, gid);
  }
  Deno.chmodSync(folder, 0o710);
  Deno.chownSync(folder, null, gid);
}
