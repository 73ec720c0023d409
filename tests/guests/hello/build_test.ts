// Boots the guest on QEMU's reference devices, and checks that hello.elf is what its sources give.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { packagedQemu } from "../../bench/qemu.ts";
import { findQemu } from "../../lab/lab.ts";
import { build, IMAGE, RECORD, toolchain } from "./build.ts";

const DISK_SIZE = 1 << 20;
const tools = await toolchain();
const recorded = JSON.parse(await Deno.readTextFile(RECORD));
const sameTools = tools?.gcc === recorded.gcc && tools?.ld === recorded.ld;
const found = await findQemu();
const qemu = "qemu" in found ? await packagedQemu(found.qemu) : null;
const noQemu = qemu === null;

interface Outcome {
  console: string;
  serial: string;
  lastSector: string;
}

/** Runs the guest on a microvm with a console, a disk and an rng; it ends by a triple fault. */
async function boot(
  append: string,
  drive = "",
  legacy = false,
): Promise<Outcome> {
  const dir = await Deno.makeTempDir();
  try {
    const image = tools === undefined ? IMAGE : `${dir}/hello.elf`;
    if (tools !== undefined) await build(image);
    const disk = new Uint8Array(DISK_SIZE);
    disk.set(new TextEncoder().encode("still here"), DISK_SIZE - 512);
    await Deno.writeFile(`${dir}/disk.img`, disk);
    const args = [
      "-M microvm,x-option-roms=off,rtc=off,pit=off,pic=off,isa-serial=on -accel tcg -m 32M",
      "-nodefaults -no-user-config -no-reboot -nographic -serial file:serial.txt",
      `-global virtio-mmio.force-legacy=${legacy}`,
      `-drive if=none,id=disk,format=raw,file=disk.img${drive}`,
      "-device virtio-blk-device,drive=disk -device virtio-rng-device",
      "-chardev file,id=console,path=console.txt",
      "-device virtio-serial-device -device virtconsole,chardev=console",
    ].join(" ").split(" ");
    const options = [
      "-kernel",
      image,
      "-append",
      `virtio_mmio=0xfeb00000,0x200,24 ${append}`,
    ];
    const signal = AbortSignal.timeout(60_000);
    // The one for microvm has no TCG.
    const program = qemu!.program.replace(/-microvm$/, "");
    await new Deno.Command(program, {
      args: [...qemu!.args, ...args, ...options],
      env: { ...qemu!.env },
      cwd: dir,
      signal,
    }).output();
    return {
      console: await Deno.readTextFile(`${dir}/console.txt`),
      serial: await Deno.readTextFile(`${dir}/serial.txt`),
      lastSector: new TextDecoder().decode(
        (await Deno.readFile(`${dir}/disk.img`)).subarray(
          DISK_SIZE - 512,
          DISK_SIZE - 502,
        ),
      ),
    };
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test({
  name:
    "build() gives hello.elf again, byte for byte, with the compiler on record",
  ignore: !sameTools,
  async fn() {
    const image = await Deno.makeTempFile();
    try {
      await build(image);
      assertEquals(await Deno.readFile(image), await Deno.readFile(IMAGE));
    } finally {
      await Deno.remove(image);
    }
  },
});

Deno.test({
  name: "The hello guest drives the console, disk and rng of QEMU",
  ignore: noQemu,
  async fn() {
    const { console, serial, lastSector } = await boot("");
    assertMatch(
      console,
      new RegExp(
        "^Hello from the Paddock guest\nconsole: at 0xfeb0[0-9a-f]{4}\nrng: [0-9a-f]{32}\n" +
          "block: 2048 sectors, sector 2047 written and verified\nGoodbye\n$",
      ),
    );
    assertEquals(serial, "");
    assertEquals(lastSector, "still here");
  },
});

Deno.test({
  name:
    "The hello guest only reads a read-only disk, and repeats itself on the serial port",
  ignore: noQemu,
  async fn() {
    const { console, serial } = await boot("serial", ",readonly=on");
    assertStringIncludes(
      console,
      "block: 2048 sectors, read-only, sector 2047 read\n",
    );
    assertEquals(serial, console);
  },
});

Deno.test({
  name: "The hello guest reports a device that it cannot use",
  ignore: noQemu,
  async fn() {
    const { serial } = await boot("", "", true);
    assertMatch(
      serial,
      /^FAILED: not a modern virtio-mmio device \(at 0xfeb0[0-9a-f]{4}\)\n$/,
    );
  },
});
