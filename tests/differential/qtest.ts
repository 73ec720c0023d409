// QEMU's microvm, whose registers and memory are reached by its qtest protocol; its vCPU is halted.
import { libraryPath } from "../lab/qemu.ts";
import { DEVICES, type Side, type Width } from "./side.ts";

const BASE = 0xfeb0_0000;
const STRIDE = 0x200;
/** The most that microvm has. */
const SLOTS = 24;
const LETTER = { 1: "b", 2: "w", 4: "l" } as const;
/** Seconds. */
const LIFETIME = "120";
const TRANSPORT = "virtio-mmio.force-legacy";

/** Firmware of 64 KiB that is `cli; hlt; jmp` at the reset vector. */
function haltingFirmware(): Uint8Array {
  const image = new Uint8Array(0x1_0000).fill(0xf4);
  image.set([0xfa, 0xf4, 0xeb, 0xfd], 0xfff0);
  return image;
}

/** Debian's QEMU has no qtest accelerator, but any machine answers qtest. */
function qemuArguments(
  qemu: string,
  folder: string,
  legacy: boolean,
): string[] {
  const share = `${qemu}/usr/share`;
  const drive = (id: string) =>
    `if=none,id=${id},file=${folder}/${id}.img,format=raw`;
  const packed = legacy ? "" : ",packed=on";
  return [
    ["-M", "microvm,rtc=off,pit=off,pic=off,x-option-roms=off,acpi=off"],
    ["-accel", "tcg", "-m", "16", "-nodefaults", "-no-user-config"],
    ["-display", "none", "-qtest", "stdio", "-qtest-log", "none"],
    ["-L", `${share}/qemu`, "-L", `${share}/seabios`],
    ["-bios", `${folder}/halt.bin`],
    ["-global", `${TRANSPORT}=${legacy ? "on" : "off"}`],
    // In the order of DEVICES.
    ["-device", "virtio-rng-device", "-device", "virtio-serial-device"],
    ["-drive", drive("a"), "-device", "virtio-blk-device,drive=a"],
    ["-device", `virtio-rng-device${packed}`],
    ["-drive", drive("b"), "-device", `virtio-blk-device,drive=b${packed}`],
  ].flat();
}

export class Qtest implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #output: ReadableStreamDefaultReader<string>;
  #buffered = "";
  #slots: number[] = [];
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#input = child.stdin.getWriter();
    this.#output = child.stdout.pipeThrough(new TextDecoderStream())
      .getReader();
  }

  /** `folder` gets the firmware and the disks. */
  static async start(
    qemu: string,
    folder: string,
    image: Uint8Array,
    legacy: boolean,
  ): Promise<Qtest> {
    for (const disk of ["a", "b"]) {
      await Deno.writeFile(`${folder}/${disk}.img`, image);
    }
    await Deno.writeFile(`${folder}/halt.bin`, haltingFirmware());
    const program = `${qemu}/usr/bin/qemu-system-x86_64`;
    // By `timeout`: QEMU does not end with its input, and must not outlive a run that is killed.
    const child = new Deno.Command("timeout", {
      args: [LIFETIME, program, ...qemuArguments(qemu, folder, legacy)],
      env: { LD_LIBRARY_PATH: libraryPath(qemu) },
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const machine = new Qtest(child);
    await machine.#findDevices();
    return machine;
  }

  /** The first device on the command line has the last slot. */
  async #findDevices(): Promise<void> {
    for (let slot = SLOTS - 1; slot >= 0; slot--) {
      const id = await this.#ask(`readl ${BASE + slot * STRIDE + 8}`);
      if (Number(id) !== 0) this.#slots.push(slot);
    }
    if (this.#slots.length !== DEVICES.length) {
      throw new Error(`QEMU has ${this.#slots.length} devices`);
    }
  }

  /** The device with this index in DEVICES. */
  device(index: number): Side {
    const base = BASE + this.#slots[index]! * STRIDE;
    return {
      read: async (offset, width: Width = 4) => {
        const value = await this.#ask(`read${LETTER[width]} ${base + offset}`);
        return Number(value);
      },
      write: async (offset, value, width: Width = 4) => {
        await this.#ask(`write${LETTER[width]} ${base + offset} ${value}`);
      },
      peek: async (gpa, length) => {
        const hex = await this.#ask(`read ${gpa} ${length}`);
        return Uint8Array.fromHex(hex.slice(2));
      },
      poke: async (gpa, bytes) => {
        await this.#ask(`write ${gpa} ${bytes.length} 0x${bytes.toHex()}`);
      },
    };
  }

  /** Sends a command, one after the other; returns what follows OK. */
  #ask(command: string): Promise<string> {
    const turn = this.#turn.then(() => this.#exchange(command));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #exchange(command: string): Promise<string> {
    await this.#input.write(new TextEncoder().encode(`${command}\n`));
    for (;;) {
      const line = await this.#line();
      if (line.startsWith("IRQ")) continue;
      if (line.startsWith("OK")) return line.slice(3);
      throw new Error(`QEMU answers ${line} to ${command}`);
    }
  }

  async #line(): Promise<string> {
    for (;;) {
      const end = this.#buffered.indexOf("\n");
      if (end >= 0) {
        const line = this.#buffered.slice(0, end);
        this.#buffered = this.#buffered.slice(end + 1);
        return line;
      }
      const { value, done } = await this.#output.read();
      if (done) throw new Error("QEMU has ended");
      this.#buffered += value;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#input.abort().catch(() => {});
    await this.#output.cancel().catch(() => {});
    await this.#child.status;
  }
}
