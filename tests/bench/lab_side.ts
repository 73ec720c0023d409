// What `lab.ts` runs in the lab: boots the same guest in Paddock and QEMU by turns, prints the times as JSON.
import { fetchBusybox, fetchKernel } from "../../core/image/debian.ts";
import { buildInitramfs } from "../../core/image/initramfs.ts";
import { inFolder, now, paddockCommand, print } from "./paddock.ts";
import { packagedQemu, qemuCommand } from "./qemu.ts";
import { inTurns } from "./report.ts";

export interface LabArguments {
  readonly rounds: number;
  /** Folder of QEMU's unpacked package. */
  readonly qemu: string;
  /** The kernel, which both are given as it is. */
  readonly kernel: string;
}

export interface LabSamples {
  readonly paddock: readonly Boot[];
  readonly qemu: readonly Boot[];
}

/** Seconds. */
interface Boot {
  /** Of the guest's kernel when init started, by its own clock. */
  readonly uptime: number;
  /** From process start to the line that init prints when the console is there. */
  readonly line: number;
  /** From process start to process end. */
  readonly whole: number;
}

const MODULES = ["virtio_mmio", "virtio_console", "virtio_blk", "virtio_rng"];
/** QEMU's guest would wait 3 s for a clock that neither has. */
const CMDLINE =
  "console=hvc0 quiet pci=off panic=-1 initcall_blacklist=cmos_init";
const INIT = `#!/bin/busybox sh
export PATH=/bin
mount -t proc proc /proc
read -r uptime idle </proc/uptime
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "/lib/modules/$module.ko"; done </paddock/modules
while [ ! -c /dev/hvc0 ]; do sleep 0.01; done
echo "uptime $uptime" >/dev/hvc0
poweroff -f
`;
const MEMORY = 256;

if (import.meta.main) {
  const options: LabArguments = JSON.parse(Deno.args[0]!);
  print(JSON.stringify(await inFolder((at) => measure(at, options))));
}

async function measure(
  folder: string,
  { rounds, qemu, kernel }: LabArguments,
): Promise<LabSamples> {
  const initrd = await buildInitramfs({
    kernel: await fetchKernel(),
    modules: MODULES,
    busybox: await fetchBusybox(),
    init: INIT,
  });
  const disk = `${folder}/disk.img`;
  await Deno.writeFile(disk, new Uint8Array(2 ** 20));
  const manifest = {
    memory: `${MEMORY}M`,
    boot: { kernel, initrd, cmdline: CMDLINE },
    devices: [{ use: "console" }, { use: "block", path: disk }, { use: "rng" }],
  };
  await Deno.writeTextFile(`${folder}/vm.json`, JSON.stringify(manifest));
  const program = await packagedQemu(qemu);
  const guest = {
    memory: MEMORY,
    cpu: "host",
    kernel,
    initrd,
    cmdline: CMDLINE,
    disk,
    stdio: "console",
  } as const;
  return await inTurns(rounds, {
    // The walls are measured in isolation.ts.
    paddock: () => boot(paddockCommand(`${folder}/vm.json`, "--sandbox=off")),
    qemu: () => boot(qemuCommand(program, guest)),
  });
}

async function boot(command: Deno.Command): Promise<Boot> {
  const start = now();
  await using child = command.spawn();
  const errors = new Response(child.stderr).text();
  let text = "";
  let line = NaN;
  for await (
    const chunk of child.stdout.pipeThrough(new TextDecoderStream())
  ) {
    text += chunk;
    if (Number.isNaN(line) && text.includes("uptime ")) line = now() - start;
  }
  await child.status;
  const whole = now() - start;
  const uptime = /uptime ([0-9.]+)/.exec(text)?.[1];
  if (uptime === undefined) {
    throw new Error(`The guest did not reach init: ${text}${await errors}`);
  }
  return { uptime: Number(uptime), line: line / 1e3, whole: whole / 1e3 };
}
