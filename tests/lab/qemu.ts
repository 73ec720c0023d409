// QEMU: where it comes from, and the command line of the machine that the lab is.

import { type FetchOptions, fetchProgram } from "../../core/image/debian.ts";

/** QEMU with its firmware, storage daemon and virtiofsd. */
const PACKAGES = [
  "qemu-system-x86",
  "qemu-system-common",
  "qemu-system-data",
  "seabios",
];

/** Debian's QEMU, as a folder; in the lab it is at the same place. */
export function fetchQemu(options: FetchOptions = {}): Promise<string> {
  return fetchProgram(PACKAGES, options);
}

/** LD_LIBRARY_PATH for the programs in the folder. */
export function libraryPath(qemu: string): string {
  return `${qemu}/usr/lib/x86_64-linux-gnu:${qemu}/lib/x86_64-linux-gnu`;
}

/** What a run is started from. */
export interface Lab {
  /** Folder from fetchQemu. */
  readonly qemu: string;
  readonly kernel: string;
  readonly initramfs: string;
  readonly baseImage: string;
}

export interface MachineOptions {
  /** MiB; 4096 if absent. Guests in the lab may have more, as long as they do not touch it. */
  readonly memory?: number;
  /**
   * 1 if absent. With more, guests of the lab's KVM now and then stand still in an endless fault or reset, QEMU's own
   * too: the software machine (QEMU 7.2) does not keep their state through what its processors tell each other.
   */
  readonly cpus?: number;
  /** Gives the command a terminal of this size; stderr is then part of stdout. */
  readonly terminal?: { readonly rows: number; readonly columns: number };
}

/**
 * A PC for its clocks: microvm boots no faster, and where the host is busy its kernel fails to
 * calibrate the TSC, for which it has only the PIT, and then waits for a tick for ever.
 */
const MACHINE = "q35,usb=off,sata=off,vmport=off,smbus=off,i8042=off";

/** What EPYC has and TCG has not: QEMU would warn of each. */
const NOT_EMULATED =
  "rdseed sha-ni fxsr-opt misalignsse 3dnowprefetch osvw topoext perfctr-core clzero xsaveerptr ibpb nrip-save xsavec xsaves";
const CPU = [
  "EPYC,+svm,+npt,-xsave",
  ...NOT_EMULATED.split(" ").map((feature) => `-${feature}`),
].join(",");

const CMDLINE =
  "console=ttyS0 loglevel=4 mitigations=off tsc=reliable panic=-1";

/** `folder` is the run's own: it has the initrd, and gets console.log and status. */
export function qemuArguments(
  lab: Lab,
  folder: string,
  { memory = 4096, cpus = 1, terminal }: MachineOptions,
): string[] {
  const data = `${lab.qemu}/usr/share`;
  const disk = `if=none,id=base,file=${lab.baseImage},format=raw,readonly=on`;
  return [
    ["-M", MACHINE, "-accel", "tcg,thread=multi", "-cpu", CPU],
    ["-smp", `${cpus}`, "-m", `${memory}`, "-nodefaults", "-no-user-config"],
    ["-display", "none", "-no-reboot"],
    ["-L", `${data}/qemu`, "-L", `${data}/seabios`],
    ["-kernel", lab.kernel, "-initrd", `${folder}/initrd`, "-append", CMDLINE],
    ["-serial", `file:${folder}/console.log`],
    ["-drive", disk, "-device", "virtio-blk-pci,drive=base"],
    ["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"],
    ["-chardev", "stdio,id=stdio,signal=off"],
    terminal
      ? ["-device", "virtconsole,chardev=stdio,nr=0"]
      : standardStreams(),
    port("status", 4, `${folder}/status`),
  ].flat();
}

/** Only the stdio backend reads; what is written goes to our descriptors, opened as files. */
function standardStreams(): string[] {
  return [
    ["-device", "virtserialport,chardev=stdio,nr=1"],
    port("stdout", 2, "/dev/fd/1"),
    port("stderr", 3, "/dev/fd/2"),
  ].flat();
}

/** A port that session.sh writes to; the numbers are agreed with it. */
function port(id: string, nr: number, path: string): string[] {
  const device = `virtserialport,chardev=${id},nr=${nr}`;
  return [
    ...["-chardev", `file,id=${id},path=${path},append=on`],
    ...["-device", device],
  ];
}
