// Level B: a built-in device with its real worker, over a disk of its own where it needs one.
import { HostDisk } from "../../core/device/host_disk.ts";
import { fakeRam } from "../support/fake_driver.ts";
import { builtIn, FakeMachine } from "../support/fake_machine.ts";
import type { Target } from "./device_steps.ts";
import { RAM_SIZE, REGIONS } from "./ram.ts";

const SECTORS = 64;

export class Subject implements AsyncDisposable {
  readonly target: Target;
  readonly machine: FakeMachine;
  readonly #disk: Disk;

  private constructor(target: Target, machine: FakeMachine, disk: Disk) {
    this.target = target;
    this.machine = machine;
    this.#disk = disk;
  }

  static async start(target: Target): Promise<Subject> {
    const { device, transport, packed, readOnly } = target;
    const disk = new Disk(readOnly);
    const { path } = disk;
    const options = {
      rng: { maxBytes: 4096 },
      block: { path, readOnly, serial: "PDCK-1" },
      console: {},
    };
    const machine = await FakeMachine.start({
      module: builtIn(device),
      options: options[device],
      grants: device === "block" ? disk.grants : {},
      punchHole: (at, length) => disk.host.punchHole(at, length),
      ram: { ...fakeRam(RAM_SIZE), regions: REGIONS },
      virtio: {
        transport,
        ring: packed ? "packed" : "split",
        inOrder: packed,
        notificationData: packed,
      },
    });
    takeOutput(machine);
    return new Subject(target, machine, disk);
  }

  /** What was written to the disk although nobody may, or null. */
  contentProblem(): string | null {
    return this.#disk.problem();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine[Symbol.asyncDispose]();
    this.#disk[Symbol.dispose]();
  }
}

/** An image whose sector n is filled with n. */
class Disk implements Disposable {
  readonly path = Deno.makeTempFileSync();
  readonly host: HostDisk;
  readonly grants: { read: string[]; write?: string[] };
  readonly #content = new Uint8Array(512 * SECTORS).map((_, i) => i >> 9);
  readonly #readOnly: boolean;

  constructor(readOnly: boolean) {
    const { path } = this;
    Deno.writeFileSync(path, this.#content);
    this.#readOnly = readOnly;
    this.host = new HostDisk(
      { field: "path", path, writable: !readOnly, createSize: undefined },
      "devices[0]",
    );
    this.grants = readOnly ? { read: [path] } : { read: [path], write: [path] };
  }

  problem(): string | null {
    const { size } = Deno.statSync(this.path);
    if (size !== this.#content.length) return `disk: it has ${size} bytes now`;
    if (!this.#readOnly) return null;
    const now = Deno.readFileSync(this.path);
    const at = now.findIndex((byte, i) => byte !== this.#content[i]);
    return at < 0 ? null : `disk: byte ${at} of a read-only one changed`;
  }

  [Symbol.dispose](): void {
    this.host.close();
    Deno.removeSync(this.path);
  }
}

/** Whoever holds the VM takes a console's output at once. */
function takeOutput({ host: { port } }: FakeMachine): void {
  port.onmessage = (data) => {
    const { type, bytes } = data as { type: string; bytes?: Uint8Array };
    if (type === "output" && bytes !== undefined) {
      port.postMessage({ type: "taken", length: bytes.length });
    }
  };
}
