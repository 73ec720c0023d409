// Runs a command in the lab: a machine in software (QEMU's TCG) whose Linux has KVM as on hardware,
// with this repository, this Deno and Paddock's cache at the same places as here.

import { HostError } from "../../core/errors.ts";
import { unpackIntoCache } from "../../core/image/boot_source.ts";
import { cacheFolder } from "../../core/image/cache.ts";
import { fetchBusybox, type FetchOptions } from "../../core/image/debian.ts";
import { buildInitramfs, fetchGuest } from "../../core/image/initramfs.ts";
import init from "./init.sh" with { type: "text" };
import { ensureBaseImage } from "./base_image.ts";
import { buildLayer, REPOSITORY } from "./layer.ts";
import {
  fetchQemu,
  type Lab,
  libraryPath,
  type MachineOptions,
  qemuArguments,
} from "./qemu.ts";

export interface LabOptions extends FetchOptions, MachineOptions {
  /** The command's folder; the repository's if absent. */
  readonly cwd?: string;
  /** Added to HOME, TERM, NO_COLOR, DENO_* and PADDOCK_*, which are passed on. */
  readonly env?: Readonly<Record<string, string>>;
  /** Files and folders outside the repository to take along, by absolute path. */
  readonly paths?: readonly string[];
  /** Seconds until the lab is ended; 600 if absent. */
  readonly timeout?: number;
  /** Ends the lab. */
  readonly signal?: AbortSignal;
  readonly stdin?: ReadableStream<Uint8Array>;
  /** Where output goes as it comes; collected in the result if absent. */
  readonly stdout?: WritableStream<Uint8Array>;
  readonly stderr?: WritableStream<Uint8Array>;
}

export interface LabResult {
  /** The command's exit status. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const LAB_MODULES = [
  "virtio_pci",
  "virtio_blk",
  "virtio_console",
  "virtio_rng",
  "overlay",
  "irqbypass",
  "kvm",
  "kvm_amd",
  "tun",
];
const CONSOLE_LINES = 12;

/** True where the lab can run or be made; it does not nest. */
export function canRunLab(): boolean {
  return Deno.build.arch === "x86_64" && Deno.build.os === "linux" &&
    !Deno.env.has("PADDOCK_LAB");
}

/** Debian's QEMU as a folder, or why it cannot be had: for tests of its own programs, which the lab has too. */
export async function findQemu(): Promise<
  { readonly qemu: string } | { readonly reason: string }
> {
  try {
    return { qemu: await fetchQemu() };
  } catch (error) {
    if (error instanceof HostError) return { reason: error.message };
    throw error;
  }
}

/** Downloads and builds what the lab needs, once. */
export async function ensureLab(options: FetchOptions = {}): Promise<Lab> {
  const { kernel, initramfs: guestInitramfs } = await fetchGuest(options);
  const busybox = await fetchBusybox(options);
  const qemu = await fetchQemu(options);
  const elf = await unpackIntoCache(kernel.vmlinuz, options);
  const trees = [...listPackages(), guestInitramfs, ...(elf ? [elf] : [])];
  const baseImage = await ensureBaseImage({ busybox, qemu, trees }, options);
  const initramfs = await buildInitramfs({
    kernel,
    modules: LAB_MODULES,
    busybox,
    init,
  });
  return { qemu, kernel: elf ?? kernel.vmlinuz, initramfs, baseImage };
}

/** Debian's packages in the cache and their index, but nothing of apt's or half-made. */
function listPackages(): string[] {
  const folder = `${cacheFolder()}/debian`;
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  return names.filter((name) => name.includes("_") || name === "index.json")
    .sort().map((name) => `${folder}/${name}`);
}

/** Runs `command`; a HostError with the lab's last words says that the lab, not the command, failed. */
export async function runInLab(
  command: readonly string[],
  options: LabOptions = {},
): Promise<LabResult> {
  const { cwd = REPOSITORY, env = {}, timeout = 600, terminal, paths = [] } =
    options;
  const lab = await ensureLab(options);
  const folder = await Deno.makeTempDir({ prefix: "paddock-lab-" });
  try {
    const layer = await buildLayer({
      command,
      cwd,
      env,
      timeout,
      paths,
      ...(terminal ? { terminal } : {}),
    });
    const base = await Deno.readFile(lab.initramfs);
    await Deno.writeFile(`${folder}/initrd`, new Blob([base, layer]).stream());
    return await runQemu(lab, folder, timeout, options);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function runQemu(
  lab: Lab,
  folder: string,
  timeout: number,
  options: LabOptions,
): Promise<LabResult> {
  const limit = AbortSignal.timeout(timeout * 1000);
  const stop = AbortSignal.any(
    options.signal ? [limit, options.signal] : [limit],
  );
  if (stop.aborted) throw new HostError("The lab was ended before its start");
  const ended = new AbortController();
  const child = new Deno.Command(`${lab.qemu}/usr/bin/qemu-system-x86_64`, {
    args: qemuArguments(lab, folder, options),
    env: { LD_LIBRARY_PATH: libraryPath(lab.qemu) },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const kill = () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
  };
  stop.addEventListener("abort", kill);
  try {
    (options.stdin ?? new Blob([]).stream())
      .pipeTo(child.stdin, { signal: ended.signal }).catch(() => {});
    const [stdout, stderr, status] = await Promise.all([
      forward(child.stdout, options.stdout),
      forward(child.stderr, options.stderr),
      child.status,
    ]);
    const code = parseInt(await readText(`${folder}/status`));
    if (Number.isInteger(code)) return { code, stdout, stderr };
    const reason = limit.aborted
      ? `did not end within ${timeout} s`
      : stop.aborted
      ? "was ended"
      : `ended early (QEMU: ${status.signal ?? `status ${status.code}`})`;
    const log = await readText(`${folder}/console.log`);
    throw new HostError(`The lab ${reason}${lastWords(log)}\n${stderr}`.trim());
  } finally {
    stop.removeEventListener("abort", kill);
    ended.abort();
  }
}

function lastWords(log: string): string {
  const lines = log.trim().split("\n").slice(-CONSOLE_LINES);
  return lines[0] === ""
    ? " without a word on its console"
    : `; its console's last lines:\n${lines.join("\n")}`;
}

async function forward(
  from: ReadableStream<Uint8Array>,
  to?: WritableStream<Uint8Array>,
): Promise<string> {
  if (!to) return await new Response(from).text();
  await from.pipeTo(to, { preventClose: true });
  return "";
}

async function readText(path: string): Promise<string> {
  return await Deno.readTextFile(path).catch(() => "");
}
