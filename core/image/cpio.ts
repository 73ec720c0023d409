// Thread: any
// Writes newc cpio archives, the format of an initramfs (Linux Documentation/driver-api/early-userspace/buffer-format.rst).

/** A member of the archive. Paths have no leading slash; parents come before children. */
export type CpioEntry =
  & { readonly path: string; readonly mode?: number }
  & (
    | { readonly type: "directory" }
    | { readonly type: "file"; readonly data: Uint8Array }
    | { readonly type: "symlink"; readonly target: string }
    /** A character device's node. */
    | {
      readonly type: "device";
      readonly major: number;
      readonly minor: number;
    }
  );

const TYPE_BITS = {
  directory: 0o040000,
  file: 0o100000,
  symlink: 0o120000,
  device: 0o020000,
};
const DEFAULT_MODE = {
  directory: 0o755,
  file: 0o644,
  symlink: 0o777,
  device: 0o600,
};
const HEADER_SIZE = 110;
/** The kernel unpacks concatenated archives if each starts at a multiple of 4; 512 is cpio's own habit. */
const BLOCK = 512;

const encoder = new TextEncoder();

interface Member {
  readonly header: Uint8Array;
  readonly name: Uint8Array;
  readonly data: Uint8Array;
}

/** The archive as bytes. Archives may be concatenated: later members replace earlier ones. */
export function writeCpio(
  entries: Iterable<CpioEntry>,
): Uint8Array<ArrayBuffer> {
  const members: Member[] = [];
  let inode = 0;
  for (const entry of entries) members.push(member(entry, ++inode));
  members.push(trailer());

  const size = members.reduce((sum, each) => sum + memberSize(each), 0);
  const archive = new Uint8Array(align(size, BLOCK));
  let offset = 0;
  for (const { header, name, data } of members) {
    archive.set(header, offset);
    archive.set(name, offset + HEADER_SIZE);
    const start = offset + align(HEADER_SIZE + name.length, 4);
    archive.set(data, start);
    offset = start + align(data.length, 4);
  }
  return archive;
}

function member(entry: CpioEntry, inode: number): Member {
  const data = entry.type === "file"
    ? entry.data
    : entry.type === "symlink"
    ? encoder.encode(entry.target)
    : new Uint8Array();
  const name = encoder.encode(entry.path + "\0");
  const mode = TYPE_BITS[entry.type] | (entry.mode ?? DEFAULT_MODE[entry.type]);
  const links = entry.type === "directory" ? 2 : 1;
  const [major, minor] = entry.type === "device"
    ? [entry.major, entry.minor]
    : [0, 0];
  const { length } = data;
  const header = encodeHeader(
    [inode, mode, 0, 0, links, 0, length, 0, 0, major, minor, name.length, 0],
  );
  return { header, name, data };
}

function trailer(): Member {
  const name = encoder.encode("TRAILER!!!\0");
  const header = encodeHeader([
    0,
    0,
    0,
    0,
    1,
    0,
    0,
    0,
    0,
    0,
    0,
    name.length,
    0,
  ]);
  return { header, name, data: new Uint8Array() };
}

/** ino, mode, uid, gid, nlink, mtime, filesize, maj, min, rmaj, rmin, namesize, chksum. */
function encodeHeader(fields: number[]): Uint8Array {
  return encoder.encode(
    "070701" +
      fields.map((field) => field.toString(16).padStart(8, "0")).join(""),
  );
}

function memberSize({ name, data }: Member): number {
  return align(HEADER_SIZE + name.length, 4) + align(data.length, 4);
}

function align(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
