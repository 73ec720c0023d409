// Connections that are passed to a process which may make none.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { SysError } from "../../../core/errors.ts";
import { UnixSocket } from "../../../core/sys/unix_socket.ts";
import { Broker, BrokerServer } from "../../../core/vhost_user/broker.ts";
import { withFolder } from "../../support/folder.ts";
import { closedAgain, openFds } from "../../support/open_fds.ts";
import { PATIENCE_MS, within } from "../../support/wait.ts";

/** Waits for what the other end of a socket has sent. */
async function read(socket: UnixSocket, into: Uint8Array<ArrayBuffer>) {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    const received = socket.receive(into);
    if (received !== null) return received;
    if (performance.now() > end) throw new Error("nothing came");
    await new Promise((next) => setTimeout(next, 5));
  }
}

Deno.test("A broker's connections reach what listens there, and no other place", () =>
  withFolder(async (folder) => {
    const before = await openFds();
    {
      const [a, b] = UnixSocket.pair();
      const paths = new Map([[3, `${folder}/s`], [5, `${folder}/none`]]);
      using _server = new BrokerServer(a, paths);
      using _b = b;
      const broker = new Broker(b);
      using listening = UnixSocket.listen(`${folder}/s`);
      // All at once, each gets its own.
      const all = await within(
        Promise.allSettled([
          broker.connect(3, "s"),
          broker.connect(5, "none"),
          broker.connect(4, "unknown"),
          broker.connect(0xffff_ffff, "unknown"),
          broker.connect(3, "s"),
        ]),
      );
      const errors = all.map((each) =>
        each.status === "rejected" ? (each.reason as SysError).errno : 0
      );
      assertEquals(errors, [0, 2, 2, 2, 0]);
      for (const each of all) {
        if (each.status === "rejected") continue;
        using ours = each.value;
        using theirs = listening.accept()!;
        theirs.send(Uint8Array.of(7));
        assertEquals((await read(ours, new Uint8Array(4))).length, 1);
      }
    }
    await closedAgain(before);
  }));

Deno.test("A broker that is told nonsense answers no more, and keeps nothing open", async () => {
  const before = await openFds();
  for (const size of [1, 3]) {
    const [a, b] = UnixSocket.pair();
    using _server = new BrokerServer(a, new Map([[1, "/nowhere"]]));
    b.send(new Uint8Array(size), [b]);
    assertEquals((await read(b, new Uint8Array(4))).length, 0);
    b.close();
  }
  await closedAgain(before);
});

Deno.test("A broker that is asked without end answers no more", async () => {
  const [a, b] = UnixSocket.pair();
  using _b = b;
  using _server = new BrokerServer(a, new Map());
  try {
    const end = performance.now() + PATIENCE_MS;
    let asked = 0;
    let isOver = false;
    while (!isOver) {
      assert(performance.now() < end, `${asked} questions were answered`);
      for (let i = 0; i < 50; i++) {
        b.send(new Uint8Array(4));
        asked++;
      }
      for (let i = 0; i < 50 && !isOver; i++) {
        isOver = (await read(b, new Uint8Array(4))).length === 0;
      }
    }
  } catch (error) {
    // It hung up while we asked.
    if (!(error instanceof SysError)) throw error;
  }
});

Deno.test("A path that no socket can have is refused as such", async () => {
  const [a, b] = UnixSocket.pair();
  using _b = b;
  using _server = new BrokerServer(a, new Map([[1, `/${"x".repeat(200)}`]]));
  const error = await assertRejects(
    () => within(new Broker(b).connect(1, "long")),
    SysError,
  );
  assertEquals(error.errno, 36);
});

Deno.test("A broker that is gone refuses", async () => {
  const [a, b] = UnixSocket.pair();
  using _b = b;
  const broker = new Broker(b);
  a.close();
  await assertRejects(() => within(broker.connect(1, "path")), SysError);
});
