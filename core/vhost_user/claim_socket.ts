// Thread: main
// A listening socket at a path, which an earlier process that was killed may have left there.
import { HostError, SysError } from "../errors.ts";
import { UnixSocket } from "../sys/unix_socket.ts";

const EADDRINUSE = 98;
const ECONNREFUSED = 111;

/** Listens at `path`, for this user only. Throws a HostError where somebody else does, a SysError where it cannot be. */
export function claimSocket(path: string): UnixSocket {
  try {
    return UnixSocket.listen(path);
  } catch (error) {
    if (!(error instanceof SysError) || error.errno !== EADDRINUSE) throw error;
  }
  if (!isAbandoned(path)) {
    throw new HostError(
      `"${path}" is there already and in use; stop what serves it, or choose another path`,
    );
  }
  Deno.removeSync(path);
  return UnixSocket.listen(path);
}

/** A socket that nobody listens at. A file that is no socket refuses connections too, and is not ours to remove. */
function isAbandoned(path: string): boolean {
  if (!Deno.lstatSync(path).isSocket) return false;
  try {
    UnixSocket.connect(path).close();
    return false;
  } catch (error) {
    return error instanceof SysError && error.errno === ECONNREFUSED;
  }
}

/**
 * Bound at `path` in place of what is there, of which nobody finds nothing meanwhile: that would mean that it is given up.
 */
export function replaceSocket(path: string): UnixSocket {
  const next = `${path}~`;
  removeSocket(next);
  const socket = UnixSocket.bindTo(next);
  try {
    Deno.renameSync(next, path);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** Removes what `claimSocket` made, if it is still there. */
export function removeSocket(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
