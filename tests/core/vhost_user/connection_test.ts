// Connections over a socket pair: framing, descriptors, hang-ups, and peers that do not keep to the protocol.

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { VhostUserError } from "../../../core/errors.ts";
import { EventFd, type Fd, signalEventFd } from "../../../core/sys/fd.ts";
import { socketLibc } from "../../../core/sys/socket_libc.ts";
import { waitReadable } from "../../../core/sys/readiness.ts";
import {
  Cmsghdr,
  Iovec,
  Msghdr,
  UnixSocket,
} from "../../../core/sys/unix_socket.ts";
import { Connection } from "../../../core/vhost_user/connection.ts";
import { withFolder } from "../../support/folder.ts";
import { closedAgain, openFds } from "../../support/open_fds.ts";
import { connect, connectionPair, listen } from "../../support/connections.ts";

/** Runs `body` twice and fails if the second run leaves descriptors behind: the first may load something for good. */
async function leakless(body: () => Promise<void>): Promise<void> {
  await body();
  const before = await openFds();
  await body();
  await closedAgain(before);
}

const header = (request: number, flags: number, size: number) =>
  new Uint8Array(Uint32Array.of(request, flags, size).buffer);

Deno.test("C structs of sendmsg have the x86-64 layout", () => {
  assertEquals([Iovec.SIZE, Msghdr.SIZE, Cmsghdr.SIZE], [16, 56, 16]);
  assertEquals(Msghdr.OFFSET, {
    name: 0,
    namelen: 8,
    iov: 16,
    iovlen: 24,
    control: 32,
    controllen: 40,
    flags: 48,
  });
});

Deno.test("A message arrives with its payload and its descriptors", () =>
  leakless(async () => {
    const [a, b] = connectionPair();
    using _a = a, _b = b;
    using event = new EventFd();
    a.send(12, Uint8Array.of(1, 2, 3), [event, event], 8);
    a.send(1);
    using first = (await b.receive())!;
    assertEquals([first.request, first.flags, first.fds.length], [12, 9, 2]);
    assertEquals(first.payload, Uint8Array.of(1, 2, 3));
    // They are the same eventfd.
    const [one, other] = first.takeFds(2) as [Fd, Fd];
    signalEventFd(one.fd);
    const wait = waitReadable(event);
    await wait.ready;
    one.close();
    other.close();
    using second = (await b.receive())!;
    assertEquals([second.request, second.payload.length], [1, 0]);
  }));

Deno.test("Descriptors that come are closed on exec", async () => {
  const [a, b] = connectionPair();
  using _a = a, _b = b;
  using event = new EventFd();
  a.send(12, undefined, [event]);
  using message = (await b.receive())!;
  const info = await Deno.readTextFile(
    `/proc/self/fdinfo/${message.fds[0]!.fd}`,
  );
  const flags = parseInt(/flags:\s*([0-7]+)/.exec(info)![1]!, 8);
  assertEquals(flags & 0o2000000, 0o2000000);
});

Deno.test("A message may come in single bytes", () =>
  leakless(async () => {
    const [socket, peer] = UnixSocket.pair();
    using _socket = socket;
    using connection = new Connection(peer);
    const received = connection.receive();
    const bytes = [...header(7, 1, 2), 0xaa, 0xbb];
    for (const byte of bytes) {
      socket.send(Uint8Array.of(byte));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    using message = (await received)!;
    assertEquals(message.payload, Uint8Array.of(0xaa, 0xbb));
  }));

Deno.test("A hang-up between messages ends receive() at once", () =>
  leakless(async () => {
    const [a, b] = connectionPair();
    using _b = b;
    const received = b.receive();
    const start = performance.now();
    a.close();
    assertEquals(await received, null);
    assertEquals(performance.now() - start < 10_000, true);
    assertThrows(() => b.send(1), VhostUserError);
  }));

Deno.test("close() ends a pending receive()", () =>
  leakless(async () => {
    const [a, b] = connectionPair();
    using _a = a;
    const received = b.receive();
    await new Promise((resolve) => setTimeout(resolve, 5));
    b.close();
    b.close();
    assertEquals(await received, null);
    assertEquals(await b.receive(), null);
  }));

for (const length of [5, 12, 15]) {
  Deno.test(`A hang-up after ${length} bytes of a message ends receive(), and what came with them is closed`, () =>
    leakless(async () => {
      const [socket, peer] = UnixSocket.pair();
      using connection = new Connection(peer);
      using event = new EventFd();
      const bytes = Uint8Array.of(...header(1, 1, 8), 0, 0, 0);
      socket.send(bytes.subarray(0, length), [event]);
      socket.close();
      assertEquals(await connection.receive(), null);
    }));
}

for (
  const [name, bytes] of [
    ["another version", header(1, 2, 0)],
    ["a payload of 4 GiB", header(1, 1, 0xffff_ffff)],
  ] as const
) {
  Deno.test(`receive() refuses ${name}, and closes what came with it`, () =>
    leakless(async () => {
      const [socket, peer] = UnixSocket.pair();
      using _socket = socket;
      using connection = new Connection(peer);
      using event = new EventFd();
      socket.send(bytes, [event]);
      await assertRejects(() => connection.receive(), VhostUserError);
    }));
}

/** Sends a header with `count` descriptors, as many as the kernel takes. */
function sendFds(socket: Fd, fd: Fd, count: number): void {
  const address = (bytes: Uint8Array<ArrayBuffer>) =>
    Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes)));
  const bytes = new Uint8Array(new ArrayBuffer(12));
  bytes.set(header(1, 1, 0));
  const control = new Uint8Array(new ArrayBuffer(16 + 4 * count));
  new Uint32Array(control.buffer).set([control.length, 0, 1, 1]);
  new Uint32Array(control.buffer, 16).fill(fd.fd);
  const iovec = new Iovec(new Uint8Array(new ArrayBuffer(16)));
  iovec.base = address(bytes);
  iovec.len = bytes.length;
  const message = new Msghdr(new Uint8Array(new ArrayBuffer(56)));
  message.iov = address(iovec.bytes);
  message.iovlen = 1;
  message.control = address(control);
  message.controllen = control.length;
  assertEquals(socketLibc.sendmsg(socket.fd, message.bytes, 0), 12);
}

Deno.test("receive() refuses more than eight descriptors, in one piece or two", () =>
  leakless(async () => {
    for (const counts of [[9], [250], [8, 1]]) {
      const [socket, peer] = UnixSocket.pair();
      using _socket = socket;
      using connection = new Connection(peer);
      using event = new EventFd();
      if (counts.length === 1) sendFds(socket, event, counts[0]!);
      else {
        const eight = Array.from({ length: 8 }, () => event);
        socket.send(header(1, 1, 0).subarray(0, 4), eight);
        socket.send(header(1, 1, 0).subarray(4), [event]);
      }
      await assertRejects(() => connection.receive(), VhostUserError, "more");
    }
  }));

Deno.test("receive() refuses descriptors in the payload", () =>
  leakless(async () => {
    const [socket, peer] = UnixSocket.pair();
    using _socket = socket;
    using connection = new Connection(peer);
    using event = new EventFd();
    socket.send(header(1, 1, 4), []);
    socket.send(Uint8Array.of(1, 2, 3, 4), [event]);
    await assertRejects(
      () => connection.receive(),
      VhostUserError,
      "in the middle",
    );
  }));

Deno.test("takeFds() of another count closes nothing yet; disposing does", () =>
  leakless(async () => {
    const [a, b] = connectionPair();
    using _a = a, _b = b;
    using event = new EventFd();
    a.send(12, undefined, [event]);
    using message = (await b.receive())!;
    assertThrows(() => message.takeFds(0), VhostUserError, "takes 0");
    assertEquals(message.fds.length, 1);
  }));

Deno.test("send() to a peer that does not read throws instead of blocking", () =>
  leakless(async () => {
    const [a, b] = connectionPair();
    using _a = a, _b = b;
    const payload = new Uint8Array(4000);
    assertThrows(
      () => {
        for (let i = 0; i < 10_000; i++) a.send(1, payload);
      },
      VhostUserError,
      "does not read",
    );
    await Promise.resolve();
  }));

Deno.test("A listener gives one connection after the other", () =>
  leakless(() =>
    withFolder(async (folder) => {
      const path = `${folder}/s.sock`;
      using listener = listen(path);
      for (const request of [1, 2]) {
        const accepted = listener.accept();
        using client = connect(path);
        using server = (await accepted)!;
        client.send(request);
        using message = (await server.receive())!;
        assertEquals(message.request, request);
      }
      const pending = listener.accept();
      listener.close();
      assertEquals(await pending, null);
    })
  ));

Deno.test("connect() names a path that is not there, and one that is too long", () => {
  assertThrows(
    () => connect("/nowhere/s.sock"),
    Error,
    "connect /nowhere/s.sock failed: ENOENT",
  );
  assertThrows(
    () => connect(`/${"x".repeat(108)}`),
    RangeError,
    "at most 107 bytes",
  );
});

Deno.test("Forty waits at once leave Deno's blocking pool free", async () => {
  const pairs = Array.from({ length: 40 }, () => connectionPair());
  const received = pairs.map(([, b]) => b.receive());
  const start = performance.now();
  await Deno.readTextFile("/etc/hostname");
  assertEquals(performance.now() - start < 10_000, true);
  for (const [a] of pairs) a.send(5);
  for (const message of await Promise.all(received)) {
    assertEquals(message!.request, 5);
  }
  for (const each of pairs.flat()) each.close();
  await openFds();
});
