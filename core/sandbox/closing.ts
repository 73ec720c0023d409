// Thread: main
// The last steps of closing a process, which it takes itself, first of all: what it inherited is its own, and seccomp, as
// who started it says.
import { SysError } from "../errors.ts";
import type { Fd } from "../sys/fd.ts";
import { cString, libc } from "../sys/libc.ts";
import { processLibc } from "../sys/process_libc.ts";
import { ECONNRESET, EPIPE, F_SETFD, FD_CLOEXEC } from "../sys/linux.ts";
import { UnixSocket } from "../sys/unix_socket.ts";
import { installAskingSeccomp, installSeccomp } from "./seccomp.ts";
import type { SeccompOptions } from "./seccomp_filter.ts";

/** Deno.env would need a permission for it. */
const VARIABLE = "PADDOCK_SECCOMP";

/** Has Deno write its record of permissions to a file. */
export const AUDIT_VARIABLE = "DENO_AUDIT_PERMISSIONS";
/** Number of the first descriptor that a process gets from spawnConfined() beside its standard streams. */
export const FIRST_FD = 3;
/** More than are ever handed to a process, which come first. */
const MAX_INHERITED = 64;

/** What is said to the owner, in this order; the listener comes with the second. */
export const WILL_ASK = 1;
export const ASKS = 2;
export const ASKS_NOBODY = 3;

interface Closing extends SeccompOptions {
  /** Number of the socket that the filter's listener is passed on by (refusals.ts); null: nobody wants to know. */
  readonly reportTo: number | null;
}

/** The variable of the environment that makes {@linkcode closeProcess} close the child. */
export function closeVariable(closing: Closing): Record<string, string> {
  return { [VARIABLE]: JSON.stringify(closing) };
}

/**
 * Keeps what this process inherited from the programs that it may start, and closes it when it was started with
 * `sandbox: "strict"`. A process entry calls it before it starts threads or reads anything that is not its own.
 */
export function closeProcess(): void {
  for (let fd = FIRST_FD; fd < MAX_INHERITED; fd++) {
    libc.fcntl(fd, F_SETFD, FD_CLOEXEC); // EBADF where there is none
  }
  // Deno has it open; another deno would not find it.
  processLibc.unsetenv(cString(AUDIT_VARIABLE));
  const pointer = libc.getenv(cString(VARIABLE));
  if (pointer === null) return;
  const text = Deno.UnsafePointerView.getCString(pointer);
  const { reportTo, ...options } = JSON.parse(text) as Closing;
  if (reportTo === null) return installSeccomp(options);
  using socket = new UnixSocket(reportTo);
  socket.send(Uint8Array.of(WILL_ASK));
  // From here on another thread may wait for an answer, and this one for that thread: the owner does not wait for long.
  using listener = installAskingSeccomp(options);
  // Nobody in this process may answer what it is asked itself.
  if (listener !== null) return passOn(socket, listener);
  socket.send(Uint8Array.of(ASKS_NOBODY));
  installSeccomp(options);
}

function passOn(socket: UnixSocket, listener: Fd): void {
  try {
    socket.send(Uint8Array.of(ASKS), [listener]);
  } catch (error) {
    // It was taken, since that took so long. Where the owner has ended, nobody says yes.
    const isTaken = error instanceof SysError &&
      (error.errno === EPIPE || error.errno === ECONNRESET);
    if (!isTaken) throw error;
  }
}
