// A device in a process of its own: served, killed under load and started again with nothing lost, its control channel.

import { assert, assertEquals } from "@std/assert";
import { Connection } from "../../../core/vhost_user/connection.ts";
import {
  connectControl,
  type ControlChannel,
  type FromDevice,
  type ToDevice,
} from "../../../core/vhost_user/control.ts";
import type { DeviceProcessInit } from "../../../core/vhost_user/device_process.ts";
import { encodeLine } from "../../../core/sys/json_lines.ts";
import { Random } from "../../fuzz/random.ts";
import { FakeRing, type Used } from "../../support/fake_driver.ts";
import {
  FakeFrontEnd,
  FakeGuest,
  PACKED,
  until,
  VERSION_1,
} from "../../support/fake_front_end.ts";
import {
  builtIn,
  inlineModule,
  MODERN,
  within,
} from "../../support/fake_machine.ts";
import { FakePackedRing } from "../../support/fake_packed_ring.ts";
import { withFolder } from "../../support/folder.ts";

const ENTRY =
  new URL("../../../core/vhost_user/device_process.ts", import.meta.url).href;
const NOTHING = { read: [], write: [], net: [], env: [], run: [], import: [] };

/** A device's process, which is killed at the latest when its test ends. */
class DeviceProcess implements AsyncDisposable {
  readonly init: DeviceProcessInit;
  #child!: Deno.ChildProcess;

  constructor(folder: string, init: Partial<DeviceProcessInit>) {
    this.init = {
      name: "dev0",
      module: builtIn("rng"),
      builtIn: true,
      options: {},
      grants: NOTHING,
      virtio: MODERN,
      socket: `${folder}/dev0.sock`,
      control: null,
      ...init,
    };
    this.start();
  }

  /** By argument; `stdin` for the other way. */
  start(how: "argument" | "stdin" = "argument"): void {
    const line = encodeLine(this.init);
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--no-check", "--quiet", ENTRY],
        ...how === "argument" ? [new TextDecoder().decode(line).trim()] : [],
      ],
      stdin: how === "stdin" ? "piped" : "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    if (how === "stdin") this.#child.stdin.getWriter().write(line);
  }

  /** Ends it, and returns its exit status and what it printed. */
  async end(
    signal: "SIGKILL" | "SIGTERM",
  ): Promise<{ code: number; text: string }> {
    this.#child.kill(signal);
    return await this.ended();
  }

  /** Its exit status and what it printed, once it has ended by itself. */
  async ended(): Promise<{ code: number; text: string }> {
    const { code, stderr } = await within(this.#child.output(), 8000);
    return { code, text: new TextDecoder().decode(stderr) };
  }

  /** Connects as soon as it listens. */
  async connect(): Promise<Connection> {
    return await retry(() => Connection.connect(this.init.socket as string));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    if (!this.#child.stderr.locked) await this.#child.stderr.cancel();
    await this.#child.status;
  }
}

/** Does what may fail until a process is up. */
async function retry<T>(work: () => T): Promise<T> {
  const end = performance.now() + 10_000;
  for (;;) {
    try {
      return work();
    } catch (error) {
      if (performance.now() > end) throw error;
      await new Promise((next) => setTimeout(next, 10));
    }
  }
}

/** Answers each request, at a time of its own, with what is in it. */
const ECHO = inlineModule(`{
  id: 7,
  queues: { q: 16 },
  create: () => ({ queues: { async q({ readable, writable }) {
    const bytes = new Uint8Array(4);
    readable.read(bytes);
    if (bytes[0] % 3) await new Promise((go) => setTimeout(go, bytes[0] % 7));
    return writable.write(bytes);
  } } }),
}`);

const SIZE = 16;

/** A driver with as much in flight as the queue takes: each request has its number in it. */
class Load {
  readonly #ring: FakeRing | FakePackedRing;
  readonly #bytes: Uint8Array;
  readonly #outstanding = new Map<number, number>();
  readonly #seen = new Set<number>();
  readonly #random = new Random(1, 1);
  #free = SIZE;
  #next = 0;

  constructor(ring: FakeRing | FakePackedRing, bytes: Uint8Array) {
    this.#ring = ring;
    this.#bytes = bytes;
  }

  get done(): number {
    return this.#seen.size;
  }

  /** Takes what came back, and offers more. */
  turn(): void {
    for (const used of this.#ring.takeUsed()) this.#take(used);
    while (this.#free >= 2 && this.#offer());
  }

  #take({ id, length }: Used): void {
    const number = this.#outstanding.get(id);
    assert(number !== undefined, `${id} is given back twice`);
    this.#outstanding.delete(id);
    this.#free += 2;
    assertEquals(length, 4);
    const answer = this.#view(0x9000 + 16 * id).getUint32(0, true);
    assertEquals(answer, number);
    assert(!this.#seen.has(number!));
    this.#seen.add(number!);
  }

  #view(at: number): DataView {
    const { buffer, byteOffset } = this.#bytes;
    return new DataView(buffer, byteOffset + at, 4);
  }

  #offer(): boolean {
    const ids = Array.from({ length: SIZE / 2 }, (_, i) => 2 * i)
      .filter((id) => !this.#outstanding.has(id));
    if (ids.length === 0) return false;
    const id = this.#random.pick(ids);
    const number = this.#next++;
    this.#view(0x8000 + 16 * id).setUint32(0, number, true);
    this.#view(0x9000 + 16 * id).setUint32(0, 0xffff_ffff, true);
    const [out, into] = [0x8000 + 16 * id, 0x9000 + 16 * id];
    const ring = this.#ring;
    if (ring instanceof FakeRing) {
      ring.descriptor(id, out, 4, 1, id + 1);
      ring.descriptor(id + 1, into, 4, 2, 0);
      ring.publish(id);
    } else {
      const buffers = [{ at: out, length: 4 }, {
        at: into,
        length: 4,
        write: true,
      }];
      ring.add(buffers, id);
    }
    this.#outstanding.set(id, number);
    this.#free -= 2;
    return true;
  }
}

for (const format of ["split", "packed"] as const) {
  Deno.test(`A ${format} ring loses nothing, and gets nothing twice, when its device's process is killed under load`, () =>
    withFolder(async (folder) => {
      await using device = new DeviceProcess(folder, {
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
        }, 10_000);
        if (life === 5) break;
        await device.end("SIGKILL");
        await front.hungUp();
        device.start();
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
    const { value, done } = await within(messages.next(), 8000);
    if (done) throw new Error(`no ${type}`);
    if (value.type === type) return value as unknown as Record<string, unknown>;
  }
}

Deno.test("The control channel tells what the device declares, logs, posts and fails at", () =>
  withFolder(async (folder) => {
    await using device = new DeviceProcess(folder, {
      module: TALKATIVE,
      options: { word: "hello" },
      control: `${folder}/control`,
    });
    await device.end("SIGKILL");
    device.start("stdin");
    const open = () => retry(() => connectControl(`${folder}/control`));
    const control: ControlChannel<FromDevice, ToDevice> = await open();
    const messages = control.messages();
    const log = await next(messages, "log");
    assertEquals(log.message, "made with hello");
    const { declaration } = await next(messages, "declared");
    assertEquals(declaration, {
      id: 7,
      features: [],
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
    await control.close();
    await messages.next();
    // The next one is told again.
    const again = await open();
    const told = again.messages();
    assertEquals((await next(told, "declared")).declaration, declaration);
    assertEquals((await device.end("SIGTERM")).code, 0);
    await told.next();
    await again.close();
  }));

Deno.test("A device process refuses a socket that is in use, and takes one that was left", () =>
  withFolder(async (folder) => {
    await using first = new DeviceProcess(folder, { options: { maxBytes: 9 } });
    using connection = await first.connect();
    await using second = new DeviceProcess(folder, {
      options: { maxBytes: 9 },
    });
    const { code, text } = await second.ended();
    assertEquals(code, 1);
    assert(text.includes("in use"), text);
    connection.close();
    await first.end("SIGKILL");
    await using third = new DeviceProcess(folder, { options: { maxBytes: 9 } });
    using _ = await third.connect();
    const mode = (await Deno.stat(`${folder}/dev0.sock`)).mode! & 0o777;
    assertEquals(mode, 0o600);
  }));
