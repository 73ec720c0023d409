// A device in a process of its own: served, killed under load and started again with nothing lost, its control channel.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { HostError } from "../../../core/errors.ts";
import { claimSocket } from "../../../core/vhost_user/claim_socket.ts";
import type { FromDevice } from "../../../core/vhost_user/control.ts";
import { DeviceProcess } from "../../support/device_process.ts";
import { FakeRing } from "../../support/fake_driver.ts";
import { ECHO, Load, SIZE } from "../../support/fake_load.ts";
import {
  FakeFrontEnd,
  FakeGuest,
  PACKED,
  VERSION_1,
} from "../../support/fake_front_end.ts";
import { inlineModule, MODERN } from "../../support/fake_machine.ts";
import { FakePackedRing } from "../../support/fake_packed_ring.ts";
import { withFolder } from "../../support/folder.ts";
import { until, within } from "../../support/wait.ts";

for (const format of ["split", "packed"] as const) {
  Deno.test(`A ${format} ring loses nothing, and gets nothing twice, when its device's process is killed under load`, () =>
    withFolder(async (folder) => {
      await using device = await DeviceProcess.spawn(folder, {
        module: ECHO,
        virtio: { ...MODERN, ring: format },
      });
      using guest = new FakeGuest();
      const ring = format === "split"
        ? new FakeRing(guest.ram, SIZE)
        : new FakePackedRing(guest.ram, SIZE);
      const load = new Load(ring, guest.bytes);
      for (let life = 0; life < 6; life++) {
        using front = new FakeFrontEnd(guest, await device.connect());
        await front.introduce(VERSION_1 | (format === "packed" ? PACKED : 0n));
        if (life === 0) await front.makeInflight(1, SIZE);
        // What a front end knows after a crash; the record knows better.
        assert(
          ring instanceof FakeRing
            ? await front.queue(0, ring, ring.usedIdx)
            : await front.packedQueue(0, ring),
        );
        const goal = load.done + 40 + 37 * life;
        await until(() => {
          load.turn();
          front.kick();
          return load.done >= goal;
        });
        if (life === 5) break;
        await device.end("SIGKILL");
        await front.hungUp();
        await device.start();
      }
      assertEquals((await device.end("SIGTERM")).code, 0);
    }));
}

const TALKATIVE = inlineModule(`{
  id: 7,
  queues: { q: 16 },
  config: { a: "u16" },
  options: { word: { type: "string", description: "a word" } },
  create({ port, log, options }) {
    log("made with " + options.word);
    port.onmessage = ({ bytes }) => port.postMessage({ twice: new Uint8Array([...bytes, ...bytes]) });
    return { queues: { q: () => { throw new Error("on purpose"); } } };
  },
}`);

/** Reads messages until one has the type. */
async function next(
  messages: AsyncGenerator<FromDevice>,
  type: FromDevice["type"],
): Promise<Record<string, unknown>> {
  for (;;) {
    const { value, done } = await within(messages.next());
    if (done) throw new Error(`no ${type}`);
    if (value.type === type) return value as unknown as Record<string, unknown>;
  }
}

Deno.test("The control channel tells what the device declares, logs, posts and fails at", () =>
  withFolder(async (folder) => {
    await using device = await DeviceProcess.spawn(folder, {
      module: TALKATIVE,
      options: { word: "hello" },
    });
    const { control } = device;
    const messages = control.messages();
    const log = await next(messages, "log");
    assertEquals(log.message, "made with hello");
    const { declaration } = await next(messages, "declared");
    assertEquals(declaration, {
      id: 7,
      features: [],
      needs: [],
      queues: [{ name: "q", size: 16 }],
      config: new Uint8Array(2),
    });
    control.send({ type: "port", data: { bytes: new Uint8Array([1, 2]) } });
    const { data } = await next(messages, "port");
    assertEquals(data, { twice: new Uint8Array([1, 2, 1, 2]) });
    {
      using guest = new FakeGuest();
      using front = new FakeFrontEnd(guest, await device.connect());
      await front.introduce();
      const ring = new FakeRing(guest.ram, 8);
      await front.queue(0, ring);
      ring.add({ at: 0x8000, length: 16, write: true });
      front.kick();
      const failed = await next(messages, "failed");
      assert(`${failed.message}`.includes("on purpose"));
      front.tell(99);
      const violation = await next(messages, "log");
      assert(`${violation.message}`.includes("request 99"));
    }
    assertEquals((await device.end("SIGTERM")).code, 0);
    // Whatever it said last, then its end.
    while (!(await within(messages.next())).done);
  }));

Deno.test("claimSocket() refuses a socket that is in use, and takes one that was left", () =>
  withFolder(async (folder) => {
    const path = `${folder}/socket`;
    const first = claimSocket(path);
    assertThrows(() => claimSocket(path), HostError, "in use");
    first.close();
    using _second = claimSocket(path);
    assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
    await Deno.writeTextFile(`${folder}/file`, "");
    assertThrows(() => claimSocket(`${folder}/file`), HostError, "in use");
  }));
