// A Linux guest of QEMU in software, whose devices are ours by vhost-user.

import { unpackIntoCache } from "../../core/image/boot_source.ts";
import { type CpioEntry, writeCpio } from "../../core/image/cpio.ts";
import {
  fetchBusybox,
  fetchKernel,
  fetchProgram,
} from "../../core/image/debian.ts";
import { buildInitramfs, scriptArchive } from "../../core/image/initramfs.ts";
import init from "../../core/image/init.sh" with { type: "text" };
import { fetchQemu, libraryPath } from "../lab/qemu.ts";

const MODULES = ["virtio_pci", "virtio_blk", "virtio_rng"];
const LOADER = "/lib64/ld-linux-x86-64.so.2";
const CMDLINE =
  "console=ttyS0 loglevel=4 tsc=reliable panic=-1 mitigations=off";

/** Where devices of another program are. */
export interface Attached {
  /** QEMU's name of the device, with its properties: "vhost-user-rng-pci". */
  readonly device: string;
  readonly socket: string;
  /** Whether QEMU connects again; of these devices only the disk waits for the first connection then. */
  readonly reconnect: boolean;
}

/** What the guest prints, and how QEMU ended. */
export class QemuGuest implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #printed: Promise<void>;
  #isOver = false;
  text = "";
  errors = "";

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#printed = Promise.all([
      collect(child.stdout, (text) => this.text += text),
      collect(child.stderr, (text) => this.errors += text),
    ]).then(() => void (this.#isOver = true));
  }

  /** Boots Debian's kernel, has busybox's sh run the script, with fio at hand. */
  static async start(
    folder: string,
    script: string,
    attached: readonly Attached[],
  ): Promise<QemuGuest> {
    const qemu = await fetchQemu();
    const kernel = await fetchKernel();
    const busybox = await fetchBusybox();
    const base = await buildInitramfs({
      kernel,
      modules: MODULES,
      busybox,
      init,
    });
    const initrd = `${folder}/initrd`;
    await Deno.copyFile(base, initrd);
    for (const archive of [await fioArchive(), scriptArchive(script)]) {
      await Deno.writeFile(initrd, archive, { append: true });
    }
    const elf = await unpackIntoCache(kernel.vmlinuz, {});
    const child = new Deno.Command(`${qemu}/usr/bin/qemu-system-x86_64`, {
      args: [
        ...machine(qemu),
        ...["-kernel", elf ?? kernel.vmlinuz, "-initrd", initrd],
        ...["-append", CMDLINE],
        ...attached.flatMap(attach),
      ],
      env: { LD_LIBRARY_PATH: libraryPath(qemu) },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    return new QemuGuest(child);
  }

  /** Waits until the guest has printed a line that begins so, and returns the rest of it. */
  async line(begin: string, seconds: number): Promise<string> {
    const end = performance.now() + seconds * 1000;
    for (;;) {
      const found = new RegExp(`^${begin}(.*)\n`, "m").exec(this.text);
      if (found !== null) return found[1]!;
      if (this.#isOver || performance.now() > end) {
        throw new Error(
          `No "${begin}" within ${seconds} s:\n${this.text}${this.errors}`,
        );
      }
      await new Promise((next) => setTimeout(next, 50));
    }
  }

  /** Ends QEMU in the middle of whatever it does. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended();
  }

  /** Resolves when the guest has powered off. */
  async ended(): Promise<void> {
    await this.#child.status;
    await this.#printed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.ended();
  }
}

async function collect(
  stream: ReadableStream<Uint8Array>,
  take: (text: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  for await (const bytes of stream) {
    take(decoder.decode(bytes, { stream: true }).replaceAll("\r", ""));
  }
}

/** RAM that others can map. */
function machine(qemu: string): string[] {
  const share = `${qemu}/usr/share`;
  return [
    ["-M", "q35,usb=off,sata=off,vmport=off,smbus=off,memory-backend=ram"],
    ["-object", "memory-backend-memfd,id=ram,size=1G,share=on", "-m", "1G"],
    ["-accel", "tcg,thread=multi", "-smp", "2"],
    ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ["-L", `${share}/qemu`, "-L", `${share}/seabios`],
    ["-serial", "stdio"],
  ].flat();
}

function attach(
  { device, socket, reconnect }: Attached,
  index: number,
): string[] {
  const id = `paddock${index}`;
  const again = reconnect ? ",reconnect=1" : "";
  return [
    ...["-chardev", `socket,id=${id},path=${socket}${again}`],
    ...["-device", `${device},chardev=${id}`],
  ];
}

/** fio, and the libraries that it loads. */
async function fioArchive(): Promise<Uint8Array<ArrayBuffer>> {
  const folder = await fetchProgram(["fio"]);
  const program = `${folder}/usr/bin/fio`;
  // Ceph's library keeps one of its own in a folder that is its RUNPATH where it is installed.
  const own = `${folder}/usr/lib/x86_64-linux-gnu/ceph`;
  const { stdout } = await new Deno.Command("ldd", {
    args: [program],
    env: { LD_LIBRARY_PATH: `${libraryPath(folder)}:${own}` },
  }).output();
  const listing = new TextDecoder().decode(stdout);
  const [missing] = /^.* => not found$/m.exec(listing) ?? [];
  if (missing !== undefined) throw new Error(`fio cannot start:${missing}`);
  const paths = [...listing.matchAll(/=> (\/[^ ]+) \(0x/g)].map(([, path]) =>
    path!
  );
  const entries: CpioEntry[] = [
    { type: "directory", path: "lib64" },
    { type: "directory", path: "lib/fio" },
    await file(LOADER.slice(1), LOADER),
    await file("bin/fio", program),
  ];
  for (const path of paths) {
    entries.push(await file(`lib/fio/${path.split("/").at(-1)}`, path));
  }
  return writeCpio(entries);
}

async function file(path: string, source: string): Promise<CpioEntry> {
  return { type: "file", path, mode: 0o755, data: await Deno.readFile(source) };
}
