// Level B: runs a case on built-in devices with their real workers and register files, in one process.
import { HostDisk } from "../../core/device/host_disk.ts";
import { type FakeRam, fakeRam } from "../support/fake_driver.ts";
import { builtIn, FakeMachine, within } from "../support/fake_machine.ts";
import type { DeviceCase, DeviceStep, Target } from "./device_steps.ts";
import { TARGETS } from "./device_steps.ts";
import { Random } from "./random.ts";
import { BUFFERS, RAM_SIZE } from "./ring_steps.ts";

/** An answer takes no longer: above the budget after which a device is cut off. */
const ANSWER_MS = 8000;
const SECTORS = 64;
/** How often another device is asked whether it goes on. */
const WITNESS_EVERY = 16;
const CONTENT_EVERY = 64;
const GUARD = 0xee;

/** A device of one kind, over a disk where it needs one. */
class Subject implements AsyncDisposable {
  readonly target: Target;
  readonly path = Deno.makeTempFileSync();
  readonly content: Uint8Array;
  machine!: FakeMachine;
  #disk: HostDisk | null = null;

  constructor(target: Target) {
    this.target = target;
    this.content = new Uint8Array(512 * SECTORS).map((_, i) => i >> 9);
    Deno.writeFileSync(this.path, this.content);
  }

  static async start(target: Target): Promise<Subject> {
    const subject = new Subject(target);
    const { path } = subject;
    const { device, transport, packed, readOnly } = target;
    const isBlock = device === "block";
    const disk = isBlock
      ? new HostDisk(
        { field: "path", path, writable: !readOnly, createSize: undefined },
        "devices[0]",
      )
      : null;
    subject.#disk = disk;
    const options = {
      rng: { maxBytes: 4096 },
      block: { path, readOnly, serial: "PDCK-1" },
      console: {},
    };
    subject.machine = await FakeMachine.start({
      module: builtIn(device),
      options: options[device],
      grants: !isBlock
        ? {}
        : readOnly
        ? { read: [path] }
        : { read: [path], write: [path] },
      punchHole: (at, length) => disk?.punchHole(at, length) ?? false,
      ram: fakeRam(RAM_SIZE),
      virtio: {
        transport,
        ring: packed ? "packed" : "split",
        inOrder: packed,
        notificationData: packed,
      },
    });
    const { port } = subject.machine.host;
    port.onmessage = (data) => {
      const { type, bytes } = data as { type: string; bytes?: Uint8Array };
      if (type === "output" && bytes !== undefined) {
        port.postMessage({ type: "taken", length: bytes.length });
      }
    };
    return subject;
  }

  /** What was written although nobody may, or null. */
  contentProblem(): string | null {
    if (this.target.device !== "block") return null;
    const now = Deno.readFileSync(this.path);
    if (now.length !== this.content.length) {
      return `disk: it has ${now.length} bytes now`;
    }
    if (!this.target.readOnly) return null;
    const at = now.findIndex((byte, i) => byte !== this.content[i]);
    return at < 0 ? null : `disk: byte ${at} of a read-only one changed`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine[Symbol.asyncDispose]();
    this.#disk?.close();
    Deno.removeSync(this.path);
  }
}

/** All devices, used for one case after the other. */
export class DeviceRun implements AsyncDisposable {
  readonly #subjects: (Subject | null)[] = TARGETS.map(() => null);
  #witness: FakeMachine | null = null;
  #cases = 0;

  /** What is wrong, or null. */
  async run({ target, steps }: DeviceCase): Promise<string | null> {
    const subject = this.#subjects[target] ??= await Subject.start(
      TARGETS[target]!,
    );
    const problem = await this.#try(subject, steps);
    if (problem !== null) {
      // It may be beyond help; the next case gets another.
      this.#subjects[target] = null;
      await subject[Symbol.asyncDispose]();
    }
    return problem;
  }

  async #try(
    subject: Subject,
    steps: readonly DeviceStep[],
  ): Promise<string | null> {
    const { machine } = subject;
    machine.driverErrors.length = machine.logged.length = 0;
    try {
      const aside: Promise<unknown>[] = [];
      for (const step of steps) await take(machine, step, aside);
      await within(Promise.all(aside), ANSWER_MS);
      await within(machine.transport.write(0x070, 4, 0), ANSWER_MS);
      const { faults, status } = machine;
      if (faults.length > 0) return `device blamed: ${faults[0]}`;
      if (status !== 0) return `reset: status is 0x${status.toString(16)}`;
      const problem = await serveValid(subject);
      if (problem !== null) return problem;
      if (faults.length > 0) return `device blamed: ${faults[0]}`;
    } catch (error) {
      const what = [String(error), ...machine.driverErrors, ...machine.faults];
      return `throws: ${what.join("; ")}`;
    }
    if (this.#cases++ % CONTENT_EVERY === 0) {
      const problem = subject.contentProblem();
      if (problem !== null) return problem;
    }
    return this.#cases % WITNESS_EVERY === 1 ? await this.#askWitness() : null;
  }

  /** Another device goes on, whatever this one's guest does. */
  async #askWitness(): Promise<string | null> {
    this.#witness ??= await FakeMachine.start({
      module: builtIn("rng"),
      options: { maxBytes: 64 },
    });
    const witness = this.#witness;
    try {
      await witness.reset();
      const ring = await witness.bringUp();
      ring.add({ at: 0x8000, length: 64, write: true });
      witness.kick();
      const [used] = await witness.used(ring, 1);
      return used?.length === 64 ? null : "another device: a wrong answer";
    } catch (error) {
      return `another device: ${error}`;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const subject of this.#subjects) {
      await subject?.[Symbol.asyncDispose]();
    }
    await this.#witness?.[Symbol.asyncDispose]();
  }
}

/** The guest does one thing. */
async function take(
  machine: FakeMachine,
  step: DeviceStep,
  aside: Promise<unknown>[],
): Promise<void> {
  const { transport, bytes, host } = machine;
  switch (step.op) {
    case "read": {
      const answer = transport.read(step.offset, step.size);
      if (typeof answer !== "number") await within(answer, ANSWER_MS);
      return;
    }
    case "write": {
      const answer = transport.write(step.offset, step.size, step.value);
      if (answer === undefined) return;
      if (step.aside) return void aside.push(answer);
      return await within(answer, ANSWER_MS);
    }
    case "pause":
      return await pause(machine);
    case "type": {
      const typed = new Uint8Array(step.length);
      return host.port.postMessage({ type: "input", bytes: typed });
    }
    case "resize": {
      const { columns } = step;
      return host.port.postMessage({ type: "resize", columns, rows: 24 });
    }
    case "zero":
      return void bytes.fill(0, step.at, step.at + step.length);
    case "noise": {
      const random = new Random(step.seed, 0);
      for (let i = 0; i < step.length; i++) bytes[step.at + i] = random.u32();
      return;
    }
    default:
      return poke(machine.ram, step);
  }
}

function poke(
  ram: FakeRam,
  step: Extract<DeviceStep, { op: "desc" | "u16" }>,
): void {
  const view = new DataView(ram.buffer);
  if (step.op === "u16") return view.setUint16(step.at, step.value, true);
  view.setUint32(step.at, step.gpa >>> 0, true);
  view.setUint32(step.at + 4, Math.floor(step.gpa / 2 ** 32) >>> 0, true);
  view.setUint32(step.at + 8, step.length, true);
  view.setUint16(step.at + 12, step.low, true);
  view.setUint16(step.at + 14, step.high, true);
}

/** Until the device sleeps, or for a while. */
async function pause({ words, status }: FakeMachine): Promise<void> {
  // One that is not live leaves its kicks where they are.
  if ((status & 0x44) !== 0x04) return;
  for (let spin = 0; spin < 20_000; spin++) {
    const [isWaiting, kicked] = [
      Atomics.load(words, 4),
      Atomics.load(words, 5),
    ];
    if (isWaiting !== 0 && kicked === 0) return;
  }
  await new Promise((resolve) => setTimeout(resolve, 1));
}

/** After the reset a valid request is served, and nothing but its buffers and the ring is written. */
async function serveValid(subject: Subject): Promise<string | null> {
  const { machine, target } = subject;
  const { bytes } = machine;
  bytes.fill(GUARD);
  const queue = target.device === "console" ? 1 : 0;
  const [size, base, end] = [4, 0, 0x2000];
  const isLegacy = target.transport === "legacy";
  if (isLegacy) {
    await machine.write(0x028, 0x1000);
    await machine.write(0x070, 0x3);
  } else await machine.negotiate();
  const ring = isLegacy
    ? await machine.legacyQueue(queue, size, 0x1000)
    : await machine.queue(queue, size, base);
  await machine.write(0x070, isLegacy ? 0x7 : 0xf);
  const [header, answer] = [BUFFERS + 0x800, BUFFERS + 0x1000];
  const readable = { at: header, length: 16 };
  const writable = { at: answer, length: 21, write: true };
  bytes.fill(0, header, header + 16);
  bytes[header] = 8; // GET_ID
  switch (target.device) {
    case "rng":
      ring.add(writable);
      break;
    case "block":
      ring.add(readable, writable);
      break;
    case "console":
      ring.add(readable);
  }
  machine.kick(queue);
  const [used] = await machine.used(ring, 1, ANSWER_MS);
  const expected = target.device === "console" ? 0 : 21;
  if (used?.length !== expected || used.id !== 0) {
    return `recovery: ${used?.length} bytes used of chain ${used?.id}`;
  }
  await within(machine.transport.write(0x070, 4, 0), ANSWER_MS);
  const isOurs = (at: number) =>
    (isLegacy ? at >= 0x1000 && at < 0x3000 : at < end) ||
    (at >= header && at < header + 16) || (at >= answer && at < answer + 21);
  const stray = bytes.findIndex((byte, at) => byte !== GUARD && !isOurs(at));
  return stray < 0
    ? null
    : `RAM: 0x${stray.toString(16)} was written after the reset`;
}
