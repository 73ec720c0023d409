// `paddock plugin serve` as a process: its socket from the beginning to the end, and what it says.

import { assert, assertEquals } from "@std/assert";
import { retry } from "../../support/device_process.ts";
import { FakeRing } from "../../support/fake_driver.ts";
import { FakeFrontEnd, FakeGuest } from "../../support/fake_front_end.ts";
import { withFolder } from "../../support/folder.ts";
import { within } from "../../support/wait.ts";
import { connect } from "../../support/connections.ts";

const PADDOCK = new URL("../../../main.ts", import.meta.url).pathname;

function serve(socket: string, module = "rng", options = "{}") {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--no-check", "--quiet", PADDOCK, "plugin", "serve"],
      ...[module, "--socket", socket, "--options", options],
    ],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const ended = child.output().then(({ code, stderr }) => ({
    code,
    text: new TextDecoder().decode(stderr),
  }));
  return { child, ended: () => within(ended, 10_000) };
}

const exists = (path: string) => Deno.stat(path).then(() => true, () => false);

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`plugin serve serves one front end after the other until ${signal}, and removes its socket`, () =>
    withFolder(async (folder) => {
      const socket = `${folder}/rng.sock`;
      const { child, ended } = serve(socket);
      for (let i = 0; i < 2; i++) {
        using guest = new FakeGuest();
        using front = new FakeFrontEnd(
          guest,
          await retry(() => connect(socket)),
        );
        await front.introduce();
        const ring = new FakeRing(guest.ram, 8);
        await front.queue(0, ring);
        ring.add({ at: 0x8000, length: 64, write: true });
        front.kick();
        await front.used(ring, 1);
        if (i === 0) continue;
        assertEquals((await Deno.stat(socket)).mode! & 0o777, 0o600);
        child.kill(signal);
        await front.hungUp();
      }
      const { code, text } = await ended();
      assertEquals(code, 0, text);
      assert(!await exists(socket));
      const line = text.split("\n").find((each) => each.startsWith("Serving"));
      assert(line!.includes(`path=${socket}`), text);
      assert(line!.includes("-device vhost-user-rng-pci,chardev=rng"), text);
    }));
}

Deno.test("plugin serve refuses a socket that somebody serves, and takes one that nobody does", () =>
  withFolder(async (folder) => {
    const socket = `${folder}/rng.sock`;
    const first = serve(socket);
    (await retry(() => connect(socket))).close();
    const { code, text } = await serve(socket).ended();
    assertEquals(code, 1);
    assert(text.includes(`"${socket}" is there already and in use`), text);
    assert(await exists(socket));
    first.child.kill("SIGKILL");
    await first.ended();
    const second = serve(socket);
    (await retry(() => connect(socket))).close();
    second.child.kill("SIGTERM");
    assertEquals((await second.ended()).code, 0);
  }));

Deno.test("plugin serve leaves a file alone that is no socket", () =>
  withFolder(async (folder) => {
    const socket = `${folder}/precious`;
    await Deno.writeTextFile(socket, "mine");
    const { code } = await serve(socket).ended();
    assertEquals(code, 1);
    assertEquals(await Deno.readTextFile(socket), "mine");
  }));

Deno.test("plugin serve says what is wrong with a device, and leaves no socket", () =>
  withFolder(async (folder) => {
    const socket = `${folder}/block.sock`;
    const missing = JSON.stringify({ path: `${folder}/no.img` });
    const { code, text } = await serve(socket, "block", missing).ended();
    assertEquals(code, 2);
    assert(text.includes("no.img"), text);
    const broken = `${folder}/broken.ts`;
    await Deno.writeTextFile(
      broken,
      "export default { id: 7, queues: {}, create() { throw new Error('no'); } };",
    );
    assertEquals((await serve(socket, broken).ended()).code, 1);
    assert(!await exists(socket));
  }));
