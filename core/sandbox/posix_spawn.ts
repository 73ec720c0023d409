// Thread: any
// Starts a program with posix_spawn: the child inherits what the calling thread is confined to, and only the fds named.
import { SysError } from "../errors.ts";
import { check, cString, libc } from "../sys/libc.ts";
import { processLibc } from "../sys/process_libc.ts";
import { F_DUPFD_CLOEXEC } from "../sys/linux.ts";
import { Fd } from "../sys/fd.ts";

export interface SpawnOptions {
  /** Absolute path of the program, which is its first argument too. */
  readonly path: string;
  readonly args: readonly string[];
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** The child's fds 0, 1, 2 and so on; it has no others. They stay as they are here. */
  readonly fds: readonly number[];
  /** In a session of its own the child has no terminal, and Ctrl-C does not reach it. */
  readonly session: boolean;
}

/** glibc's opaque posix_spawn_file_actions_t and posix_spawnattr_t, in bytes. */
const FILE_ACTIONS_SIZE = 80;
const ATTR_SIZE = 336;
const SIGSET_SIZE = 128;
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;

/** Returns the child's pid. Throws a SysError when the program cannot be started. */
export function posixSpawn(options: SpawnOptions): number {
  const { path, args, env, fds, session } = options;
  using stack = new DisposableStack();
  const actions = fileActions(fds, stack);
  const attr = attributes(session, stack);
  const argv = new CStringArray([path, ...args]);
  const envp = new CStringArray(
    Object.entries(env).map(([name, value]) => `${name}=${value}`),
  );
  const pid = new Int32Array(1);
  const errno = processLibc.posix_spawn(
    new Uint8Array(pid.buffer),
    cString(path),
    actions,
    attr,
    argv.pointers,
    envp.pointers,
  );
  if (errno !== 0) throw new SysError(`posix_spawn ${path}`, errno);
  return pid[0]!;
}

function fileActions(
  fds: readonly number[],
  stack: DisposableStack,
): Uint8Array<ArrayBuffer> {
  const actions = new Uint8Array(FILE_ACTIONS_SIZE);
  processLibc.posix_spawn_file_actions_init(actions);
  stack.defer(() => processLibc.posix_spawn_file_actions_destroy(actions));
  for (const [target, fd] of fds.entries()) {
    // From a number that is no target, so that no source is overwritten before its turn.
    const copy = stack.use(
      new Fd(
        check(`dup fd ${fd}`, libc.fcntl(fd, F_DUPFD_CLOEXEC, fds.length)),
      ),
    );
    processLibc.posix_spawn_file_actions_adddup2(actions, copy.fd, target);
  }
  processLibc.posix_spawn_file_actions_addclosefrom_np(actions, fds.length);
  return actions;
}

/** No signal blocked, none ignored: Deno ignores SIGPIPE, and vCPU threads block the kick signal. */
function attributes(
  session: boolean,
  stack: DisposableStack,
): Uint8Array<ArrayBuffer> {
  const attr = new Uint8Array(ATTR_SIZE);
  processLibc.posix_spawnattr_init(attr);
  stack.defer(() => processLibc.posix_spawnattr_destroy(attr));
  processLibc.posix_spawnattr_setsigmask(attr, new Uint8Array(SIGSET_SIZE));
  processLibc.posix_spawnattr_setsigdefault(
    attr,
    new Uint8Array(SIGSET_SIZE).fill(0xff),
  );
  processLibc.posix_spawnattr_setflags(
    attr,
    POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
      (session ? POSIX_SPAWN_SETSID : 0),
  );
  return attr;
}

/** char *const [], with its NULL; holds the strings for as long as it is held. */
class CStringArray {
  readonly strings: readonly Uint8Array<ArrayBuffer>[];
  readonly pointers: Uint8Array<ArrayBuffer>;
  constructor(texts: readonly string[]) {
    this.strings = texts.map(cString);
    const pointers = new BigUint64Array(texts.length + 1);
    for (const [index, string] of this.strings.entries()) {
      // SAFETY: the strings are held by this object.
      pointers[index] = Deno.UnsafePointer.value(
        Deno.UnsafePointer.of(string),
      );
    }
    this.pointers = new Uint8Array(pointers.buffer);
  }
}
