import { assert, assertEquals, assertThrows } from "@std/assert";
import { SysError } from "../../../core/errors.ts";
import { UnixSocket } from "../../../core/sys/unix_socket.ts";
import { replaceSocket } from "../../../core/vhost_user/claim_socket.ts";
import { withFolder } from "../../support/folder.ts";

Deno.test("replaceSocket() binds what was not there, and in place of what was", () =>
  withFolder((folder) => {
    const path = `${folder}/socket`;
    using first = replaceSocket(path);
    // Bound, and nobody listens yet.
    const refused = assertThrows(() => UnixSocket.connect(path), SysError);
    assertEquals(refused.errno, 111);
    first.listen();
    using _old = UnixSocket.connect(path);
    using second = replaceSocket(path);
    second.listen();
    using _new = UnixSocket.connect(path);
    assert(second.accept() !== null);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), [
      "socket",
    ]);
    return Promise.resolve();
  }));

Deno.test("replaceSocket() takes what a killed process left half-way", () =>
  withFolder((folder) => {
    const path = `${folder}/socket`;
    UnixSocket.bindTo(`${path}~`).close();
    using socket = replaceSocket(path);
    socket.listen();
    using _ = UnixSocket.connect(path);
    return Promise.resolve();
  }));
