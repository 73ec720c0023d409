// Paddock's devices and register files, without KVM.
import { fakeRam } from "../support/fake_driver.ts";
import { builtIn, FakeMachine } from "../support/fake_machine.ts";
import { DEVICES, RAM, type Side } from "./side.ts";

export class Paddock implements AsyncDisposable {
  readonly #machines: FakeMachine[] = [];

  /** `folder` gets the disks. */
  static async start(
    folder: string,
    image: Uint8Array,
    legacy: boolean,
  ): Promise<Paddock> {
    const paddock = new Paddock();
    const ram = fakeRam(RAM);
    for (const device of DEVICES) {
      const isPacked = device.startsWith("packed ") && !legacy;
      const name = device.replace("packed ", "");
      const path = `${folder}/${device.replace(" ", "-")}.img`;
      if (name === "block") await Deno.writeFile(path, image);
      paddock.#machines.push(
        await FakeMachine.start({
          module: builtIn(name),
          options: { path, readOnly: false, serial: "", maxBytes: 65536 },
          grants: { read: [path], write: [path] },
          ram,
          virtio: {
            transport: legacy ? "legacy" : "modern",
            ring: isPacked ? "packed" : "split",
          },
        }),
      );
    }
    return paddock;
  }

  /** The device with this index in DEVICES. */
  device(index: number): Side {
    const machine = this.#machines[index]!;
    return {
      read: (offset, width) => machine.read(offset, width),
      write: (offset, value, width) => machine.write(offset, value, width),
      peek: (gpa, length) =>
        Promise.resolve(machine.bytes.slice(gpa, gpa + length)),
      poke: (gpa, bytes) => Promise.resolve(machine.bytes.set(bytes, gpa)),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const machine of this.#machines) await machine[Symbol.asyncDispose]();
  }
}
