// `deno task start`: the main job. Boots the default manifest here, or in the lab where this host's KVM cannot run Linux.

import { canRunLinux, probeKernelMode } from "../../core/arch/x86_64/probe.ts";
import { printNote } from "../../core/cli/output.ts";
import { run } from "../../core/cli/run.ts";
import { HostError } from "../../core/errors.ts";
import { fetchGuest } from "../../core/image/initramfs.ts";
import { KvmSystem } from "../../core/kvm/system.ts";
import { runInteractively } from "./interactive.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const HELLO = new URL("../guests/hello/vm.json", import.meta.url).pathname;
const DEFAULTS = { logLevel: "info", json: false, color: true } as const;

/** Null where Linux runs on this host's KVM, else one line that says why it does not. */
function whyNotHere(): { reason: string; hasKvm: boolean } | null {
  try {
    using kvm = new KvmSystem();
    if (canRunLinux(probeKernelMode(kvm))) return null;
    return {
      reason: "This host's KVM emulates guest kernel mode and cannot run Linux",
      hasKvm: true,
    };
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    return { reason: error.message, hasKvm: false };
  }
}

async function start(): Promise<number> {
  const obstacle = whyNotHere();
  const runHere = (manifest: string | undefined) =>
    run({
      command: "run",
      manifest,
      script: undefined,
      trace: [],
      ...DEFAULTS,
    });
  if (obstacle === null) return await runHere(undefined);
  printNote(`${obstacle.reason}: booting in the lab, a machine in software`);
  try {
    await fetchGuest({ onProgress: printNote });
    const command = [Deno.execPath(), "run", "-A", `${ROOT}main.ts`, "run"];
    return await runInteractively(command, {
      cwd: ROOT,
      onProgress: printNote,
    });
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    printNote(error.message);
    if (!obstacle.hasKvm) return 1;
    printNote("Running the embedded guest instead, which needs neither");
    return await runHere(HELLO);
  }
}

if (import.meta.main) Deno.exit(await start());
