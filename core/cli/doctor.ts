// Thread: main
// `paddock doctor`: what this host has, what is wrong with it, and what to do.
import {
  canRunLinux,
  probeKernelMode,
  type ProbeResult,
} from "../arch/x86_64/probe.ts";
import { CAPABILITIES, KVM_CAP_MAX_VCPUS } from "../kvm/abi.ts";
import { KvmSystem } from "../kvm/system.ts";
import { formatSize } from "../manifest/size.ts";
import { landlockAbi } from "../sandbox/landlock.ts";
import { leftOpenBy } from "../sandbox/landlock_abi.ts";
import { hasSeccomp } from "../sandbox/seccomp.ts";
import { readText } from "../sys/fd.ts";
import { realPath } from "../sys/real_path.ts";
import { libc } from "../sys/libc.ts";
import type { ArgsOf } from "./args.ts";
import { printLine, useColor } from "./output.ts";
import { hasWorkerOptions } from "./worker_options.ts";

/** One thing that was looked at. */
export interface Finding {
  readonly check: string;
  /** `warning`: some machines do not run, or run slowly. `failed`: none does. */
  readonly state: "ok" | "warning" | "failed";
  readonly found: string;
  /** What to do; with `ok` there is nothing. */
  readonly remedy?: string;
}

/** The Deno that this is built and tested with. */
const DENO = [2, 9] as const;
const MIN_AVAILABLE = 1024 * 2 ** 20;

export function doctor(args: ArgsOf<"doctor">): Promise<number> {
  const findings = examine();
  if (args.json) printLine(JSON.stringify(findings, null, 2));
  else for (const finding of findings) print(finding, useColor(args.color));
  const failed = findings.some(({ state }) => state === "failed");
  return Promise.resolve(failed ? 1 : 0);
}

/** Looks at everything; starts only guests of a few bytes. */
export function examine(): Finding[] {
  return [
    denoFinding(),
    ...workerFindings(),
    memoryFinding(),
    landlockFinding(),
    seccompFinding(),
    userFinding(),
    cgroupFinding(),
    ...kvmFindings(),
  ];
}

function print({ check, state, found, remedy }: Finding, color: boolean): void {
  const paint = { ok: "32", warning: "33", failed: "31" }[state];
  const mark = color
    ? `\x1b[${paint}m${state.padEnd(7)}\x1b[0m`
    : state.padEnd(7);
  printLine(`${mark}  ${check.padEnd(21)}  ${found}`);
  if (remedy !== undefined) printLine(`         → ${remedy}`);
}

function denoFinding(): Finding {
  const [major = 0, minor = 0] = Deno.version.deno.split(".").map(Number);
  const found = `${Deno.version.deno} on ${Deno.build.arch} ${Deno.build.os}`;
  if (Deno.build.arch !== "x86_64" || Deno.build.os !== "linux") {
    const remedy = "Paddock runs on x86-64 Linux only; use such a host";
    return { check: "Deno", state: "failed", found, remedy };
  }
  const old = major < DENO[0] || (major === DENO[0] && minor < DENO[1]);
  if (!old) return { check: "Deno", state: "ok", found };
  const remedy = `update to ${DENO.join(".")} or newer: deno upgrade`;
  return { check: "Deno", state: "warning", found, remedy };
}

function workerFindings(): Finding[] {
  const check = "worker permissions";
  const has = hasWorkerOptions();
  if (has === null) return [];
  if (has) return [{ check, state: "ok", found: "a device can have its own" }];
  const found = "missing: no device can have its own";
  const remedy =
    'add --unstable-worker-options, or "unstable": ["worker-options"] to deno.json';
  return [{ check, state: "failed", found, remedy }];
}

function memoryFinding(): Finding {
  const { available } = Deno.systemMemoryInfo();
  const found = `${
    formatSize(Math.floor(available / 2 ** 20) * 2 ** 20)
  } available`;
  if (available >= MIN_AVAILABLE) {
    return { check: "memory", state: "ok", found };
  }
  const remedy = "end other programs, or lower memory in the manifest";
  return { check: "memory", state: "warning", found, remedy };
}

function landlockFinding(): Finding {
  const check = "Landlock";
  const abi = landlockAbi();
  const open = leftOpenBy(abi);
  if (open.length === 0) {
    const found = `ABI ${abi}: files, TCP ports and signals can be refused`;
    return { check, state: "ok", found };
  }
  const found = `${abi === 0 ? "missing" : `ABI ${abi}`}: leaves ${
    open.join(", ")
  } open to a process that breaks out of Deno`;
  const remedy = abi === 0
    ? "use a kernel with CONFIG_SECURITY_LANDLOCK, and landlock in lsm="
    : "update the host's kernel to 6.12 or newer";
  return { check, state: "warning", found, remedy };
}

function seccompFinding(): Finding {
  const check = "seccomp";
  if (hasSeccomp()) {
    const found = "system calls that Deno and KVM do not need can be refused";
    return { check, state: "ok", found };
  }
  const found = "missing: no system call can be refused";
  const remedy = "use a kernel with CONFIG_SECCOMP_FILTER";
  return { check, state: "warning", found, remedy };
}

/** What follows nobody needs, so that nothing of it is wrong. */
function userFinding(): Finding {
  const found = libc.geteuid() === 0
    ? "run --user can take a machine's processes from root"
    : "machines run as you; only root can choose another by run --user";
  return { check: "another user", state: "ok", found };
}

function cgroupFinding(): Finding {
  const check = "cgroup v2";
  const folder = cgroupFolder();
  if (folder === null) {
    const found = "not mounted: run --cgroup is not there";
    return { check, state: "ok", found };
  }
  const has = readText(`${folder}/cgroup.controllers`).trim().split(" ");
  const limits = ["memory", "cpu", "pids"].filter((name) => has.includes(name));
  const found = `${folder}: run --cgroup can limit ${
    limits.join(", ") || "nothing, for want of controllers"
  }`;
  return { check, state: "ok", found };
}

/** Null also where it cannot be read. */
function cgroupFolder(): string | null {
  const mounts = readText("/proc/self/mounts").split("\n")
    .map((line) => line.split(" "));
  const folders = mounts.filter(([, , type]) => type === "cgroup2")
    // A space is written as \040.
    .map(([, path = ""]) =>
      path.replace(
        /\\([0-7]{3})/g,
        (_, octal) => String.fromCharCode(parseInt(octal, 8)),
      )
    );
  return folders.find((path) => realPath(`${path}/cgroup.controllers`)) ?? null;
}

function kvmFindings(): Finding[] {
  let kvm: KvmSystem;
  try {
    kvm = new KvmSystem();
  } catch (error) {
    const problem = error instanceof Error ? error.message : `${error}`;
    const [found = problem, remedy = "see the message"] = problem.split("; ");
    return [{ check: "/dev/kvm", state: "failed", found, remedy }];
  }
  using _ = kvm;
  return [
    {
      check: "/dev/kvm",
      state: "ok",
      found: `API version ${kvm.apiVersion}, up to ${
        kvm.capability(KVM_CAP_MAX_VCPUS)
      } vCPUs`,
    },
    ...CAPABILITIES.map(({ name, number, required, use }) =>
      capabilityFinding(kvm.capability(number) !== 0, { name, required, use })
    ),
    kernelModeFinding(probeKernelMode(kvm)),
  ];
}

function capabilityFinding(
  there: boolean,
  { name, required, use }: { name: string; required: boolean; use: string },
): Finding {
  const check = name.replace("KVM_CAP_", "").toLowerCase().replaceAll("_", " ");
  if (there) return { check, state: "ok", found: use };
  const state = required ? "failed" : "warning";
  const remedy = "update the host's kernel";
  return { check, state, found: `missing: ${use}`, remedy };
}

function kernelModeFinding(probe: ProbeResult): Finding {
  const speed = (probe.instructionsPerSecond / 1e6).toFixed(0);
  const refused = probe.refused.length === 0
    ? ""
    : `; refuses ${probe.refused.join(", ")}`;
  const check = "guest kernel mode";
  const found = `${
    probe.native ? "native" : "emulated"
  }, ${speed} M instr/s${refused}`;
  if (canRunLinux(probe)) return { check, state: "ok", found };
  const remedy =
    "Linux will not boot here: deno task start boots it in the lab, in software";
  return { check, state: "warning", found, remedy };
}
