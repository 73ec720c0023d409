// `deno task start [manifest]`: `paddock run`, here or in the lab where this host's KVM cannot run Linux.

import { existsSync } from "node:fs";
import { canRunLinux, probeKernelMode } from "../../core/arch/x86_64/probe.ts";
import { type ArgsOf, parseCliArgs, UsageError } from "../../core/cli/args.ts";
import { help } from "../../core/cli/help.ts";
import { printNote, reportError } from "../../core/cli/output.ts";
import { run } from "../../core/cli/run.ts";
import { checkPlugins } from "../../core/device/check_plugins.ts";
import { HostError } from "../../core/errors.ts";
import { fetchGuest } from "../../core/image/initramfs.ts";
import { KvmSystem } from "../../core/kvm/system.ts";
import { MANIFEST_NAME } from "../../core/manifest/load.ts";
import type { VmConfig } from "../../core/manifest/config.ts";
import { fromFileUrl, resolve } from "../../core/manifest/paths.ts";
import { readManifestOrDefault } from "../../core/manifest/source.ts";
import { runInteractively } from "./interactive.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const HELLO = new URL("../guests/hello/vm.json", import.meta.url).pathname;

/** What the lab has its own of: devices, processes, and so all of it. */
const OF_THE_LAB = /^\/(proc|sys|dev)?(\/|$)/;

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

async function start(argv: readonly string[]): Promise<number> {
  const args = parseCliArgs(["run", ...argv]);
  if (args.command === "help") return await help(args);
  if (args.command !== "run") {
    throw new UsageError("start takes what paddock run takes; see its --help");
  }
  const obstacle = whyNotHere();
  if (obstacle === null) return await run(args);
  // What is wrong with it is said here, and at once: a lab takes a while.
  const config = await checkPlugins(
    readManifestOrDefault(args.manifest, args.script),
  );
  printNote(`${obstacle.reason}: booting in the lab, a machine in software`);
  try {
    return await runThere(args, argv, config);
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    printNote(error.message);
    if (!obstacle.hasKvm || isNamed(args)) return 1;
    printNote("Running the embedded guest instead, which needs neither");
    return await run({ ...args, manifest: HELLO });
  }
}

/** Whether it is the user's manifest, and not the one that is used without any. */
function isNamed({ manifest }: ArgsOf<"run">): boolean {
  return manifest !== undefined || existsSync(MANIFEST_NAME);
}

/** The same command in the lab, with copies of what the manifest names. */
async function runThere(
  args: ArgsOf<"run">,
  argv: readonly string[],
  config: VmConfig,
): Promise<number> {
  const { manifest, script } = args;
  const named = isNamed(args);
  await fetchGuest({ onProgress: printNote });
  const words = argv.map((word) => {
    if (word === `--script=${script}`) return `--script=${resolve(script!)}`;
    return word === manifest || word === script ? resolve(word) : word;
  });
  if (named && manifest === undefined) words.push(resolve(MANIFEST_NAME));
  return await runInteractively(
    [Deno.execPath(), "run", "-A", `${ROOT}main.ts`, "run", ...words],
    {
      cwd: named ? config.folder : ROOT,
      paths: pathsOf(config, named),
      onProgress: printNote,
    },
  );
}

/** The folder of a manifest that is named, and what a manifest names elsewhere, but for disks. */
function pathsOf(
  { folder, boot, devices }: VmConfig,
  isNamed: boolean,
): string[] {
  const { kernel, initrd, flat, script } = boot as Record<string, unknown>;
  const files = [kernel, initrd, flat, script].filter((path) =>
    typeof path === "string"
  );
  const modules = devices.filter(({ module }) => module.startsWith("file:"))
    .map(({ module }) => fromFileUrl(new URL(".", module)));
  const reads = devices.filter(({ builtIn }) => !builtIn)
    .flatMap(({ permissions }) => permissions.read)
    .filter((path) => existsSync(path) && !OF_THE_LAB.test(path));
  const all = [...isNamed ? [folder] : [], ...files, ...modules, ...reads]
    .filter((path) => !`${path}/`.startsWith(ROOT));
  return [...new Set(all)];
}

try {
  Deno.exit(await start(Deno.args));
} catch (error) {
  Deno.exit(reportError(error, !Deno.args.includes("--no-color")));
}
