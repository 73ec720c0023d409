// The driver's side of a block device (virtio-v1.3 §5.2.6): one request at a time, in raw bytes.

import type { FakeRing } from "./fake_driver.ts";
import { FakeMachine, type FakeMachineOptions } from "./fake_machine.ts";

const HEADER = 0x8000, STATUS = 0x8800, DATA = 0x20000;

/** A machine with one disk. */
export class FakeDisk implements AsyncDisposable {
  readonly machine: FakeMachine;
  readonly #ring: FakeRing;

  private constructor(machine: FakeMachine, ring: FakeRing) {
    this.machine = machine;
    this.#ring = ring;
  }

  static async start(options: FakeMachineOptions): Promise<FakeDisk> {
    const machine = await FakeMachine.start(options);
    return new FakeDisk(machine, await machine.bringUp());
  }

  /** Makes a request available; its data is `write` bytes, or room for `room`. */
  async #request(
    type: number,
    sector: number,
    length: number,
    write: boolean,
  ): Promise<number> {
    const { machine } = this;
    const ring = this.#ring;
    ring.view.setUint32(HEADER, type, true);
    ring.view.setBigUint64(HEADER + 8, BigInt(sector), true);
    machine.bytes[STATUS] = 0x77;
    // Cut in an odd place.
    const cut = Math.min(length, 700);
    ring.add(
      { at: HEADER, length: 16 },
      ...[[DATA, cut], [DATA + cut, length - cut]]
        .filter(([, length]) => length! > 0)
        .map(([at, length]) => ({ at: at!, length: length!, write })),
      { at: STATUS, length: 1, write: true },
    );
    machine.kick();
    await machine.used(ring, 1, 15_000);
    return machine.bytes[STATUS]!;
  }

  /** The status, and what was read. */
  async read(
    sector: number,
    length: number,
  ): Promise<[status: number, data: Uint8Array]> {
    this.machine.bytes.fill(0xaa, DATA, DATA + length);
    const status = await this.#request(0, sector, length, true);
    return [status, this.machine.bytes.slice(DATA, DATA + length)];
  }

  /** The status. */
  write(sector: number, data: Uint8Array): Promise<number> {
    this.machine.bytes.set(data, DATA);
    return this.#request(1, sector, data.length, false);
  }

  /** The status of a request without data. */
  command(type: number): Promise<number> {
    return this.#request(type, 0, 0, false);
  }

  /** Waits for a line in the log. */
  logs(line: RegExp): Promise<void> {
    const { logged } = this.machine;
    return this.machine.until(
      () => logged.some((text) => line.test(text)),
      () => `no ${line} in the log: ${logged.join("; ")}`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine[Symbol.asyncDispose]();
  }
}
