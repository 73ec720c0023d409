// Thread: main
// A folder of one run's: for sockets, and for what is made for one VM. It goes with the run; where that was killed, with
// the next one.
import { HostError, SysError } from "../errors.ts";
import { Fd } from "./fd.ts";
import { check, cString, libc } from "./libc.ts";
import { LOCK_EX, LOCK_NB, O_CREAT, O_NOFOLLOW, O_RDWR } from "./linux.ts";
import { realPath } from "./real_path.ts";

const PREFIX = "run-";
const LOCK = ".lock";
/** A folder that is younger may be one that is just being made, and not locked yet. */
const YOUNG_MS = 60_000;

/** Others may pass through it, to what is theirs there, and see nothing. */
const MODE = 0o711;

/** Where this user's runs have their folders. By libc: Deno would want a permission to say it. */
export function runsFolder(): string {
  const variable = libc.getenv(cString("TMPDIR"));
  const temporary = variable === null
    ? ""
    : Deno.UnsafePointerView.getCString(variable);
  const folder = temporary || "/tmp";
  return `${realPath(folder) ?? folder}/paddock-${libc.geteuid()}`;
}

/** Makes it where it is missing. Its name is no secret: another user may have been there first. */
function openRunsFolder(): string {
  const path = runsFolder();
  try {
    Deno.mkdirSync(path);
    // Whatever the umask is.
    Deno.chmodSync(path, MODE);
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
  const { uid, mode, isDirectory } = Deno.lstatSync(path);
  const own = isDirectory && uid === libc.geteuid() && (mode! & 0o022) === 0;
  if (own) return path;
  throw new HostError(
    `${path} is not this user's alone; remove it, or set TMPDIR to another folder`,
  );
}

export class RunFolder implements AsyncDisposable {
  readonly path: string;
  /** Held as long as the folder is used: the kernel lets it go when the process has ended, however that happens. */
  readonly #lock: Fd;

  private constructor(path: string, lock: Fd) {
    this.path = path;
    this.#lock = lock;
  }

  /** Makes a folder that only this user can enter; what runs that were killed left is removed in the background. */
  static async create(): Promise<RunFolder> {
    const parent = openRunsFolder();
    const path = await Deno.makeTempDir({ dir: parent, prefix: PREFIX });
    const lock = Fd.open(`${path}/${LOCK}`, O_RDWR | O_CREAT);
    check("flock", libc.flock(lock.fd, LOCK_EX | LOCK_NB));
    // Nobody waits for it, and what cannot be removed stays.
    sweep(parent).catch(() => {});
    return new RunFolder(path, lock);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Somebody who tidies up may have been faster.
    await Deno.remove(this.path, { recursive: true }).catch(() => {});
    this.#lock.close();
  }
}

/** Removes the folders in `parent` of runs that have ended. */
export async function sweep(parent: string, now = Date.now()): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(parent)) {
    if (!isDirectory || !name.startsWith(PREFIX)) continue;
    const path = `${parent}/${name}`;
    try {
      const { mtime } = await Deno.lstat(path);
      const age = now - (mtime?.getTime() ?? now);
      if (age < YOUNG_MS || !isAbandoned(path)) continue;
      await Deno.remove(path, { recursive: true });
    } catch {
      // It went meanwhile.
    }
  }
}

/** Whether nobody has its lock, or it never had one. */
function isAbandoned(path: string): boolean {
  try {
    using lock = Fd.open(`${path}/${LOCK}`, O_RDWR | O_NOFOLLOW);
    return libc.flock(lock.fd, LOCK_EX | LOCK_NB) === 0;
  } catch (error) {
    if (error instanceof SysError) return true;
    throw error;
  }
}
