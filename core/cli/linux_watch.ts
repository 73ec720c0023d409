// Thread: main
// Ends a machine whose Linux cannot run on this host. Where KVM emulates guest kernel mode, Linux would spin for a
// minute before it fails; a probe at each start would cost all others time, so one is made of a machine that is late.
import type { BootConfig } from "../manifest/config.ts";
import { MANIFEST_NAME } from "../manifest/load.ts";
import { fromFileUrl, resolve } from "../manifest/paths.ts";
import type { Vm, VmExit } from "../vm.ts";
import { quoteForShell } from "./output.ts";

/** Linux that runs has looked at its devices by then. */
const LATE_MS = 2500;
/** A busy host makes a probe slow: it has to fail each of so many times. */
const PROBES = 3;
const PAUSE_MS = 500;
/** Instructions in a second: emulators do one or two million; what only shares its CPU does more. */
const EMULATED = 5e6;

const ROOT = new URL("../../", import.meta.url);
/** What every Linux has in its image, packed or not. */
const PACKED = { at: 0x202, text: "HdrS" };
const BANNER = "Linux version ";

type Watched = Pick<Vm, "config" | "statistics" | "kill">;

export interface WatchOptions {
  /** The manifest that was named. */
  readonly manifest: string | undefined;
  readonly script?: string | undefined;
  /** Whether this host runs Linux. */
  readonly probe?: () => Promise<boolean>;
  readonly lateMs?: number;
  readonly pauseMs?: number;
}

/** Watches from now on; `verdict` is why it ended the machine, if it did. */
export class LinuxWatch implements Disposable {
  verdict: VmExit | null = null;
  readonly #vm: Watched;
  readonly #options: WatchOptions;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(vm: Watched, options: WatchOptions) {
    this.#vm = vm;
    this.#options = options;
    this.#look(PROBES, options.lateMs ?? LATE_MS);
  }

  #look(probes: number, afterMs: number): void {
    this.#timer = setTimeout(() => {
      // A machine that ends meanwhile has no statistics, a host that cannot be asked no verdict.
      this.#judge(probes).catch(() => {});
    }, afterMs);
  }

  async #judge(probes: number): Promise<void> {
    const { probe = probeHost, pauseMs = PAUSE_MS } = this.#options;
    const { config } = this.#vm;
    // Until a driver touches a register of its device, nothing is mailed.
    if ((await this.#vm.statistics()).mailed > 0) return;
    if (probes === PROBES && !await isLinux(config.boot)) return;
    if (await probe() || this.#closed) return;
    if (probes > 1) return this.#look(probes - 1, pauseMs);
    // It may have come that far while it was probed.
    if ((await this.#vm.statistics()).mailed > 0 || this.#closed) return;
    this.verdict = { reason: "failure", detail: this.#reason() };
    await this.#vm.kill();
  }

  #reason(): string {
    const start = startCommand(this.#options);
    return "this host's KVM emulates guest kernel mode and cannot run Linux; " +
      (start === null
        ? "see `paddock doctor`"
        : `boot it in the lab, a machine in software: ${start}`);
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }
}

/** Loaded when it is needed: most machines need none of it. */
async function probeHost(): Promise<boolean> {
  const { probeKernelMode } = await import("../arch/x86_64/probe.ts");
  const { KvmSystem } = await import("../kvm/system.ts");
  using kvm = new KvmSystem();
  const { refused, instructionsPerSecond } = probeKernelMode(kvm);
  return refused.length === 0 && instructionsPerSecond > EMULATED;
}

/** Whether what boots is Linux, and not a small guest that may take its time. */
export async function isLinux(boot: BootConfig): Promise<boolean> {
  if (boot.kind !== "kernel") return boot.kind === "debian";
  const text = new TextDecoder("latin1")
    .decode(await Deno.readFile(boot.kernel));
  return text.startsWith(PACKED.text, PACKED.at) || text.includes(BANNER);
}

/** Where the lab is beside this file, what boots the manifest in it. */
function startCommand(
  { manifest: named, script }: WatchOptions,
): string | null {
  if (ROOT.protocol !== "file:") return null;
  const root = resolve(fromFileUrl(ROOT));
  const path = named?.startsWith("file:") ? fromFileUrl(named) : named;
  const manifest = path ?? (exists(MANIFEST_NAME) ? MANIFEST_NAME : null);
  const isHere = Deno.cwd() === root;
  const words = [
    "deno",
    "task",
    ...isHere ? [] : ["--cwd", root],
    "start",
    ...script === undefined ? [] : [`--script=${resolve(script)}`],
    ...manifest === null ? [] : [isHere ? manifest : resolve(manifest)],
  ];
  return words.map(quoteForShell).join(" ");
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
