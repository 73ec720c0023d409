// Thread: main
// The disk image of a block device as the core holds it: created, locked, and the only fd that may punch holes.
import { ManifestError, SysError } from "../errors.ts";
import type { DiskConfig } from "../manifest/built_in.ts";
import { giveTo, type User } from "../sandbox/user.ts";
import { Fd } from "../sys/fd.ts";
import { check, errno, libc } from "../sys/libc.ts";
import {
  EAGAIN,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
} from "../sys/linux.ts";

export class HostDisk implements Disposable {
  readonly #fd: Fd;
  readonly #config: DiskConfig;
  #kept = false;

  /** Opens and locks the image; `device` is its field, as in "devices[1]". Throws a ManifestError. */
  constructor(config: DiskConfig, device: string) {
    this.#config = config;
    const field = `${device}.${config.field}`;
    this.#fd = open(config, field);
    // A writer shuts out all others; readers share. The lock dies with the fd, so with the process too.
    const lock = (config.writable ? LOCK_EX : LOCK_SH) | LOCK_NB;
    if (libc.flock(this.#fd.fd, lock) === 0) return;
    const busy = errno() === EAGAIN;
    this.#fd.close();
    throw new ManifestError(
      field,
      busy
        ? `"${config.path}" is in use by another VM; stop that one, or name another image`
        : `"${config.path}" cannot be locked; move it to a local file system`,
    );
  }

  /** Gives the blocks of a range back to the host's file system; false where it cannot. */
  punchHole(offset: number, length: number): boolean {
    const sane = Number.isSafeInteger(offset) && Number.isSafeInteger(length);
    if (!this.#config.writable || !sane || offset < 0 || length <= 0) {
      return false;
    }
    const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    const [at, size] = [BigInt(offset), BigInt(length)];
    return libc.fallocate(this.#fd.fd, mode, at, size) === 0;
  }

  /** Keeps image and lock to the end of the process: a thread that was cut off may still write to it. */
  keep(): void {
    this.#kept = true;
  }

  close(): void {
    if (!this.#kept) this.#fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Makes the image of a device, "devices[1]", where it is missing and may be made; for `user` where that is not null.
 * Throws a ManifestError.
 */
export function createDisk(
  config: DiskConfig,
  device: string,
  user: User | null,
): void {
  const { path, createSize } = config;
  if (createSize === undefined) return;
  attempt(
    `${device}.${config.field}`,
    () => create(path, createSize, user),
  );
}

function open({ path, writable, createSize }: DiskConfig, field: string): Fd {
  return attempt(field, () => {
    if (createSize !== undefined) create(path, createSize, null);
    return Fd.open(path, writable ? O_RDWR : O_RDONLY);
  });
}

function attempt<T>(field: string, call: () => T): T {
  try {
    return call();
  } catch (cause) {
    if (!(cause instanceof SysError)) throw cause;
    throw new ManifestError(
      field,
      `${cause.message}; ${remedy(cause.errno)}`,
      { cause },
    );
  }
}

const EEXIST = 17;
const ENOSPC = 28;
const EFBIG = 27;
const EROFS = 30;
const EDQUOT = 122;

function remedy(errno: number): string {
  switch (errno) {
    case EFBIG:
      return "the file system takes no file of that size; lower it, or name another place";
    case ENOSPC:
    case EDQUOT:
      return "make room, or name another place";
    case EROFS:
      return 'name another place, or add "readOnly": true';
    default:
      return "correct the path or the file's mode";
  }
}

/** Makes a sparse image unless there is one. One that cannot have its size is not left behind. */
function create(path: string, size: number, user: User | null): void {
  let fd: Fd;
  try {
    fd = Fd.open(path, O_RDWR | O_CREAT | O_EXCL, 0o644);
  } catch (error) {
    if (error instanceof SysError && error.errno === EEXIST) return;
    throw error;
  }
  using _fd = fd;
  try {
    check(`ftruncate ${path}`, libc.ftruncate(fd.fd, BigInt(size)));
    // By what was made: its path may lead elsewhere by now.
    if (user !== null) giveTo(user, fd);
  } catch (error) {
    Deno.removeSync(path);
    throw error;
  }
}
