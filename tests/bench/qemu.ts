// The QEMU that Paddock is compared with: microvm, with what Paddock has and nothing else.
import { fetchQemu, libraryPath } from "../lab/qemu.ts";

export interface Qemu {
  readonly program: string;
  readonly env: Readonly<Record<string, string>>;
  /** Where its firmware is, if not where it was built for. */
  readonly args: readonly string[];
}

/** Debian's build for microvm starts faster than the full one. */
const NAMES = ["qemu-system-x86_64-microvm", "qemu-system-x86_64"];

/** The QEMU in PATH, else Debian's package, which the lab runs on. */
export async function findQemu(): Promise<Qemu> {
  const folders = (Deno.env.get("PATH") ?? "").split(":");
  const installed = await firstProgram(folders);
  if (installed !== undefined) return { program: installed, env: {}, args: [] };
  return await packagedQemu(await fetchQemu());
}

/** The QEMU in the folder of an unpacked package. */
export async function packagedQemu(folder: string): Promise<Qemu> {
  const share = `${folder}/usr/share`;
  return {
    program: await firstProgram([`${folder}/usr/bin`]) ?? NAMES[0]!,
    env: { LD_LIBRARY_PATH: libraryPath(folder) },
    args: ["-L", `${share}/qemu`, "-L", `${share}/seabios`],
  };
}

async function firstProgram(
  folders: readonly string[],
): Promise<string | undefined> {
  for (const name of NAMES) {
    for (const folder of folders) {
      try {
        await Deno.stat(`${folder}/${name}`);
        return `${folder}/${name}`;
      } catch {
        // The next one.
      }
    }
  }
  return undefined;
}

export interface QemuGuest {
  /** MiB. */
  readonly memory: number;
  /** "host", where the host's KVM lets QEMU set all that it says it can. */
  readonly cpu: "host" | "qemu64";
  readonly kernel: string;
  readonly initrd?: string;
  readonly cmdline?: string;
  readonly disk: string;
  /** Which port is QEMU's standard input and output. */
  readonly stdio: "console" | "serial";
}

/** One CPU, and the devices of the hello manifest: console, disk and entropy source. */
export function qemuCommand(qemu: Qemu, guest: QemuGuest): Deno.Command {
  const { memory, cpu, kernel, initrd, cmdline, disk, stdio } = guest;
  const machine =
    "microvm,accel=kvm,x-option-roms=off,rtc=off,pit=off,pic=off,isa-serial=on";
  const console = stdio === "console" ? "stdio" : "null";
  const args = [
    ["-M", machine, "-cpu", cpu, "-smp", "1", "-m", `${memory}`],
    "-nodefaults -no-user-config -no-reboot -display none".split(" "),
    ["-global", "virtio-mmio.force-legacy=false"],
    ["-chardev", "stdio,id=stdio,signal=off", "-chardev", "null,id=null"],
    ["-serial", stdio === "serial" ? "chardev:stdio" : "chardev:null"],
    ["-device", "virtio-serial-device"],
    ["-device", `virtconsole,chardev=${console}`],
    ["-drive", `if=none,id=disk,format=raw,file=${disk}`],
    ["-device", "virtio-blk-device,drive=disk", "-device", "virtio-rng-device"],
    ["-kernel", kernel],
    initrd === undefined ? [] : ["-initrd", initrd],
    cmdline === undefined ? [] : ["-append", cmdline],
  ].flat();
  return new Deno.Command(qemu.program, {
    args: [...qemu.args, ...args],
    env: { ...qemu.env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}
