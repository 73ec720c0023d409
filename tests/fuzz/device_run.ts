// Level B: runs a case on built-in devices with their real workers and register files, in one process.
import { builtIn, FakeMachine } from "../support/fake_machine.ts";
import type { DeviceCase, DeviceStep } from "./device_steps.ts";
import { TARGETS } from "./device_steps.ts";
import { serveValid } from "./device_recovery.ts";
import { Subject } from "./device_subject.ts";
import { poke } from "./poke.ts";
import { within } from "../support/wait.ts";

/** An answer takes no longer: above the budget after which a device is cut off. */
const ANSWER_MS = 8000;
/** How often another device is asked whether it goes on. */
const WITNESS_EVERY = 16;
const CONTENT_EVERY = 64;

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
      const problem = await serveValid(subject, ANSWER_MS);
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
  const { transport, host } = machine;
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
    default:
      return poke(new DataView(machine.ram.buffer), step);
  }
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
