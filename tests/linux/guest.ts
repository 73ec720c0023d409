// Runs a script in a Debian guest and collects what it prints on the console.

import { assertEquals } from "@std/assert";
import { fetchGuest, scriptArchive } from "../../core/image/initramfs.ts";
import type { Manifest } from "../../core/manifest/manifest.ts";
import { Vm, type VmExit } from "../../core/vm.ts";
import { withFolder } from "../support/folder.ts";

export interface GuestOptions {
  readonly cpus?: number;
  readonly memory?: string;
  /** Added to the kernel's command line. */
  readonly cmdline?: string;
  /** Behind the console, which is the first device. */
  readonly devices?: NonNullable<Manifest["devices"]>;
  /** Seconds until the guest is killed; 150 if absent. */
  readonly timeout?: number;
  /** Another `boot` than Debian's guest with this script. */
  readonly boot?: NonNullable<Manifest["boot"]>;
  /** What the host does meanwhile. */
  readonly during?: (vm: Vm, text: () => string) => Promise<void>;
}

export interface GuestResult {
  /** The text of the console, and behind it that of the serial port, without carriage returns. */
  readonly text: string;
  readonly exit: VmExit;
}

/** Boots Debian's kernel, runs `script` with busybox's sh, and returns when the VM has ended. */
export function runGuest(
  script: string,
  options: GuestOptions = {},
): Promise<GuestResult> {
  return withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/script.sh`, script);
    const { cpus = 1, memory = "256M", cmdline = "", devices = [] } = options;
    const boot: Manifest["boot"] = options.boot ??
      { use: "debian", script: `${folder}/script.sh`, cmdline };
    const all = [{ use: "console" }, ...devices];
    return await watch(
      await Vm.start({ cpus, memory, boot, devices: all }),
      options,
    );
  });
}

async function watch(
  vm: Vm,
  { timeout = 150, during }: GuestOptions,
): Promise<GuestResult> {
  const faults: string[] = [];
  vm.on("drivererror", ({ message }) => faults.push(message));
  vm.on("devicefault", ({ message }) => faults.push(message));
  const texts = ["", ""];
  const outputs = [vm.console!.readable, vm.serial.readable].map((from, i) =>
    from.pipeThrough(new TextDecoderStream()).pipeTo(
      new WritableStream({
        write: (text) => void (texts[i] += text.replaceAll("\r", "")),
      }),
    )
  );
  const limit = setTimeout(() => vm.kill(), timeout * 1000);
  try {
    await during?.(vm, () => texts.join(""));
    const exit = await vm.wait();
    await Promise.all(outputs);
    assertEquals(faults, [], texts.join(""));
    return { text: texts.join(""), exit };
  } catch (cause) {
    const said = [...faults, texts.join("")].join("\n");
    throw new Error(`${cause}\nThe guest said:\n${said}`, { cause });
  } finally {
    clearTimeout(limit);
    await vm.stop();
  }
}

/** Debian's initramfs with `script` in it, for kernels that a manifest names itself. */
export async function writeInitrd(path: string, script: string): Promise<void> {
  const { initramfs } = await fetchGuest();
  await Deno.copyFile(initramfs, path);
  await Deno.writeFile(path, scriptArchive(script), { append: true });
}

/** The value of the line `name: value` in a guest's output. */
export function valueOf(text: string, name: string): string {
  const line = new RegExp(`^${name}: (.*)$`, "m").exec(text);
  if (line === null) throw new Error(`No "${name}:" in:\n${text}`);
  return line[1]!;
}

/** How long a guest may take to what a test waits for. */
export const GUEST_MS = 100_000;
