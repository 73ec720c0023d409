// Runs a command in the lab: a machine in software (QEMU's TCG) whose Linux has a hardware-like KVM,
// with this repository, this Deno and Paddock's cache at the same places as here.

import { HostError } from "../../core/errors.ts";
import {
  fetchBusybox,
  fetchKernel,
  type FetchOptions,
} from "../../core/image/debian.ts";
import { buildInitramfs } from "../../core/image/initramfs.ts";
import { ensureBaseImage, fetchQemu, libraryPath } from "./base_image.ts";
import { buildLayer, REPOSITORY } from "./layer.ts";

export interface LabOptions extends FetchOptions {
  /** The command's folder; the repository's if absent. */
  readonly cwd?: string;
  /** Added to HOME, TERM, NO_COLOR, DENO_* and PADDOCK_*, which are passed on. */
  readonly env?: Readonly<Record<string, string>>;
  /** Seconds until the lab is ended; 600 if absent. */
  readonly timeout?: number;
  /** The lab's RAM in MiB; 4096 if absent. Guests in it may have more, if they do not touch it. */
  readonly memory?: number;
  readonly cpus?: number;
  /** Ends the lab. */
  readonly signal?: AbortSignal;
  readonly stdin?: ReadableStream<Uint8Array>;
  /** Where output goes as it comes; collected in the result if absent. */
  readonly stdout?: WritableStream<Uint8Array>;
  readonly stderr?: WritableStream<Uint8Array>;
  /** Gives the command a terminal of this size; stderr is then part of stdout. */
  readonly terminal?: { readonly rows: number; readonly columns: number };
}

export interface LabResult {
  /** The command's exit status. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the lab is started from; all of it is in the cache. */
interface Lab {
  readonly qemu: string;
  readonly kernel: string;
  readonly initramfs: string;
  readonly baseImage: string;
}

/** virtio comes first; kvm takes longest. */
const LAB_MODULES = [
  "virtio_pci",
  "virtio_blk",
  "virtio_console",
  "overlay",
  "virtio_rng",
  "irqbypass",
  "kvm",
  "kvm_amd",
  "tun",
];
/**
 * A PC for its clocks: microvm boots no faster, and where the host is busy its kernel fails to
 * calibrate the TSC, for which it has only the PIT, and then waits for a tick for ever.
 */
const MACHINE = "q35,usb=off,sata=off,vmport=off,smbus=off,i8042=off";
const CONSOLE_LINES = 12;

/** True where the lab can run or be made: it is for x86-64, and pointless inside itself. */
export function canRunLab(): boolean {
  return Deno.build.arch === "x86_64" && Deno.build.os === "linux" &&
    !Deno.env.has("PADDOCK_LAB");
}

/** Downloads and builds what the lab needs, once. */
export async function ensureLab(options: FetchOptions = {}): Promise<Lab> {
  const kernel = await fetchKernel(options);
  const busybox = await fetchBusybox(options);
  const qemu = await fetchQemu(options);
  const baseImage = await ensureBaseImage(options);
  const init = await Deno.readTextFile(new URL("init.sh", import.meta.url));
  const initramfs = await buildInitramfs({
    kernel,
    modules: LAB_MODULES,
    busybox,
    init,
  });
  return { qemu, kernel: kernel.vmlinuz, initramfs, baseImage };
}

/** Runs `command`; throws a HostError with the lab's last words if the lab, not the command, failed. */
export async function runInLab(
  command: readonly string[],
  options: LabOptions = {},
): Promise<LabResult> {
  const { cwd = REPOSITORY, env = {}, timeout = 600, terminal } = options;
  const lab = await ensureLab(options);
  const folder = await Deno.makeTempDir({ prefix: "paddock-lab-" });
  try {
    const session = {
      command,
      cwd,
      env,
      timeout,
      ...(terminal ? { terminal } : {}),
    };
    using initrd = await Deno.create(`${folder}/initrd`);
    await writeAll(initrd, await Deno.readFile(lab.initramfs));
    await writeAll(initrd, await buildLayer(session));
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
  const child = new Deno.Command(`${lab.qemu}/usr/bin/qemu-system-x86_64`, {
    args: qemuArguments(lab, folder, options),
    env: { LD_LIBRARY_PATH: libraryPath(lab.qemu) },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const limit = AbortSignal.timeout(timeout * 1000);
  const ended = new AbortController();
  const stop = AbortSignal.any(
    options.signal ? [limit, options.signal] : [limit],
  );
  const kill = () => child.kill("SIGKILL");
  stop.addEventListener("abort", kill);
  if (stop.aborted) kill();
  try {
    const input = options.stdin ?? new Blob([]).stream();
    input.pipeTo(child.stdin, { signal: ended.signal, preventCancel: true })
      .catch(() => {});
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
      : `ended early (QEMU: ${status.signal ?? status.code})`;
    const words = (await readText(`${folder}/console.log`)).trim().split("\n")
      .slice(-CONSOLE_LINES).join("\n");
    throw new HostError(
      `The lab ${reason}; its console said:\n${words || "nothing"}\n${stderr}`
        .trimEnd(),
    );
  } finally {
    stop.removeEventListener("abort", kill);
    ended.abort();
  }
}

/** Port numbers are those of session.sh. stdio is the only one that reads; the rest are opened as files. */
function qemuArguments(
  lab: Lab,
  folder: string,
  options: LabOptions,
): string[] {
  const file = (
    id: string,
    path: string,
  ) => ["-chardev", `file,id=${id},path=${path},append=on`];
  const port = (
    id: string,
    nr: number,
  ) => ["-device", `virtserialport,chardev=${id},nr=${nr}`];
  const streams = options.terminal
    ? ["-device", "virtconsole,chardev=stdio,nr=0"]
    : [
      ...port("stdio", 1),
      ...file("stdout", "/dev/fd/1"),
      ...port("stdout", 2),
      ...file("stderr", "/dev/fd/2"),
      ...port("stderr", 3),
    ];
  return [
    ["-M", MACHINE, "-nodefaults", "-no-user-config", "-display", "none"],
    ["-no-reboot"],
    "-accel tcg,thread=multi -cpu".split(" "),
    `EPYC,+svm,+npt${UNEMULATED}`,
    ["-smp", `${options.cpus ?? 2}`, "-m", `${options.memory ?? 4096}`],
    ["-L", `${lab.qemu}/usr/share/qemu`, "-L", `${lab.qemu}/usr/share/seabios`],
    ["-kernel", lab.kernel, "-initrd", `${folder}/initrd`],
    ["-append", "console=ttyS0 loglevel=4 mitigations=off tsc=reliable"],
    ["-serial", `file:${folder}/console.log`],
    ["-drive", `if=none,id=base,file=${lab.baseImage},format=raw,readonly=on`],
    ["-device", "virtio-blk-pci,drive=base", "-device", "virtio-rng-pci"],
    [
      "-device",
      "virtio-serial-pci",
      "-chardev",
      "stdio,id=stdio,signal=off",
    ],
    streams,
    file("status", `${folder}/status`),
    port("status", 4),
  ].flat();
}

/** What EPYC has and TCG has not: QEMU would warn of each. */
const UNEMULATED = [
  "rdseed",
  "sha-ni",
  "fxsr-opt",
  "misalignsse",
  "3dnowprefetch",
  "osvw",
  "topoext",
  "perfctr-core",
  "clzero",
  "xsaveerptr",
  "ibpb",
  "nrip-save",
  "xsavec",
  "xsaves",
].map((feature) => `,-${feature}`).join("");

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

async function writeAll(file: Deno.FsFile, data: Uint8Array): Promise<void> {
  for (let offset = 0; offset < data.length;) {
    offset += await file.write(data.subarray(offset));
  }
}
