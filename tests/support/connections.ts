// vhost-user connections and listeners of a test's own; those of core are handed their sockets.
import { UnixSocket } from "../../core/sys/unix_socket.ts";
import { Connection } from "../../core/vhost_user/connection.ts";
import { Listener } from "../../core/vhost_user/listener.ts";

/** Throws a SysError that names the path. */
export function connect(path: string): Connection {
  return new Connection(UnixSocket.connect(path));
}

/** Two that are connected to each other. */
export function connectionPair(): [Connection, Connection] {
  const [one, other] = UnixSocket.pair();
  return [new Connection(one), new Connection(other)];
}

/** Creates the socket `path`, which stays when the listener is closed. */
export function listen(path: string): Listener {
  return new Listener(UnixSocket.listen(path));
}
