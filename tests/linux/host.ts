// Says whether Linux guests run here, and skips their tests where they do not.

import { canRunLinux, probeKernelMode } from "../../core/arch/x86_64/probe.ts";
import { KvmSystem } from "../../core/kvm/system.ts";
import { whyNoKvm } from "../kvm/host.ts";

let reason: string | null | undefined;

/** Null where KVM runs Linux (in the lab, say), else one line that says why not. */
export function whyNoLinux(): string | null {
  if (reason === undefined) reason = whyNoKvm() ?? probe();
  return reason;
}

function probe(): string | null {
  if (Deno.env.has("PADDOCK_LAB")) return null;
  using kvm = new KvmSystem();
  return canRunLinux(probeKernelMode(kvm))
    ? null
    : "this host's KVM emulates guest kernel mode";
}

/** A test that boots Linux. */
export function linuxTest(name: string, fn: () => void | Promise<void>): void {
  const why = whyNoLinux();
  if (why === null) Deno.test(name, fn);
  else Deno.test.ignore(`${name} (skipped: ${why})`, fn);
}
