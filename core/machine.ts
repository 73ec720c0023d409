// Thread: main
// What a VM is made of, in the order in which it is made, and its way back.
import { type BootImage, loadBoot } from "./arch/x86_64/boot.ts";
import type { EntryState } from "./arch/x86_64/entry.ts";
import type { FlatRange, Region } from "./bus/address_space.ts";
import { EventLoop } from "./bus/event_loop.ts";
import { type PowerEvent, powerRegions } from "./bus/power.ts";
import { createSerialPage, SerialPort } from "./bus/serial.ts";
import { SerialConsole } from "./bus/serial_console.ts";
import { createVmPage, ringDoorbell, type Words } from "./bus/vm_page.ts";
import { type DeviceEvents, DeviceSet } from "./device/device_set.ts";
import { HostDisk } from "./device/host_disk.ts";
import { Interrupts } from "./device/interrupts.ts";
import { KickPath } from "./device/kick_path.ts";
import { HostError } from "./errors.ts";
import { CAPABILITIES, KVM_CAP_MAX_VCPUS } from "./kvm/abi.ts";
import { KvmSystem } from "./kvm/system.ts";
import type { VmConfig } from "./manifest/config.ts";
import { GuestMemory } from "./memory/guest_memory.ts";
import {
  COM1,
  COM1_SIZE,
  VIRTIO_GSI_BASE,
  VIRTIO_MMIO_BASE,
  VIRTIO_MMIO_STRIDE,
} from "./memory/layout.ts";
import { nextTask } from "./sys/next_task.ts";
import { signalEventFd } from "./sys/fd.ts";
import type { VcpuHandle } from "./vcpu/handle.ts";
import {
  type MachineStatistics,
  type VcpuEvents,
  VcpuSet,
} from "./vcpu/vcpu_set.ts";
import { BackEnds, type ConnectTo } from "./vhost_user/attach.ts";
import type { TraceKind } from "./virtio/trace.ts";
import type { VcpuInit, VcpuRange } from "./vcpu/messages.ts";

export interface MachineEvents extends DeviceEvents, VcpuEvents {
  onPower(event: PowerEvent): void;
}

/** A running machine. */
export class Machine {
  readonly devices: DeviceSet;
  readonly serial: SerialConsole;
  readonly #vcpus: VcpuSet;
  readonly #owned: AsyncDisposableStack;

  constructor(
    devices: DeviceSet,
    serial: SerialConsole,
    vcpus: VcpuSet,
    owned: AsyncDisposableStack,
  ) {
    this.devices = devices;
    this.serial = serial;
    this.#vcpus = vcpus;
    this.#owned = owned;
  }

  get statistics(): MachineStatistics {
    return this.#vcpus.statistics;
  }

  /** Resolves when no vCPU runs and the devices have finished what they had. */
  async pause(): Promise<void> {
    if (await this.#vcpus.park()) await this.devices.pause();
  }

  async resume(): Promise<void> {
    await this.devices.resume();
    this.#vcpus.resume();
  }

  /** Stops the vCPUs, lets the devices finish what is in flight, and gives everything back. */
  async stop(): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

/** Assembles a machine around vCPU 0's thread, which may still be starting up, and runs it. */
export async function startMachine(
  config: VmConfig,
  image: BootImage,
  vcpu0: VcpuHandle,
  events: MachineEvents,
  trace: readonly TraceKind[] = [],
  connectTo?: ConnectTo,
): Promise<Machine> {
  await using stack = new AsyncDisposableStack();
  using kvm = new KvmSystem();
  requireKvm(kvm, config.cpus);
  const backEnds = stack.use(await BackEnds.attach(config.devices, connectTo));
  // Other programs are to map it.
  const asMemfd = backEnds.isEmpty ? undefined : true;
  const memory = stack.use(new GuestMemory(config.memory, asMemfd));
  const entry = loadBoot(image, memory, machineTables(config));
  // Disks last of what a manifest may have wrong: a missing one is created.
  const disks = config.devices.map(({ disk, index }) =>
    disk && stack.use(new HostDisk(disk, `devices[${index}]`))
  );
  const vm = stack.use(kvm.createVm());
  // The memory comes before the irqchip: 1 ms instead of 10.
  vm.setMemory(memory);
  vm.createIrqchip();
  const vcpuFds = Array.from(
    { length: config.cpus },
    (_, index) => stack.use(vm.createVcpu(index)),
  );
  const interrupts = new Interrupts(vm, config.devices.length);
  stack.defer(() => interrupts.close());
  const kicks = config.devices.some(({ virtio }) => virtio.kick === "ioeventfd")
    ? new KickPath(vm)
    : null;
  stack.defer(() => kicks?.close());
  const { shared, memfd } = memory;
  const devices = new DeviceSet(
    config.devices,
    shared,
    interrupts,
    events,
    disks,
    trace,
    ({ index, virtio }) =>
      // Traced kicks come by exits, as all other accesses do.
      virtio.kick === "ioeventfd" && !trace.includes("mmio")
        ? kicks?.switchOf(index)
        : undefined,
    backEnds.hosts(
      memfd && { ram: shared, memfd },
      (...queue) => kicks!.openQueue(...queue),
    ),
  );
  stack.defer(() => devices.close());

  const vmPage = createVmPage(config.cpus);
  const words: Words = new Int32Array(vmPage);
  const serialPage = createSerialPage();
  const wake = () => ringDoorbell(words);
  const port = new SerialPort(serialPage, {
    interrupt: () => signalEventFd(interrupts.serial.fd),
    wakeMain: wake,
  });
  const serial = new SerialConsole(port, wake);
  stack.defer(() => serial.close());
  const loop = createLoop(config, words, devices, port, serial, events);
  stack.defer(() => loop.close());

  const vcpus = new VcpuSet(words, vcpu0);
  stack.defer(() => vcpus.stop());
  // `kvm` is closed when the later vCPUs start.
  const { runSize } = kvm;
  const cpuid = kvm.supportedCpuid().bytes;
  const init = (index: number, entry: EntryState | null): VcpuInit => ({
    index,
    entry,
    cpus: config.cpus,
    vcpuFd: vcpuFds[index]!.fd,
    runSize,
    cpuid,
    vmPage,
    devicePages: devices.hosts.map(({ page }) => page),
    serialPage,
    serialEventFd: interrupts.serial.fd,
    mmio: loop.views[0].map(vcpuRange),
    pio: loop.views[1].map(vcpuRange),
  });
  vcpus.start(init(0, entry), events);
  loop.run();
  const others = Array.from(
    { length: config.cpus - 1 },
    (_, i) => () => vcpus.start(init(i + 1, null), events),
  );
  vm.createPit();
  const threads = new ThreadStarter([
    ...others,
    () => interrupts.start(),
    () =>
      kicks?.start(
        devices.hosts.map(({ page }) => page),
        interrupts.eventFds,
      ),
    ...devices.hosts.map((host) => () => host.start()),
  ]);
  stack.defer(() => threads.stop());
  return new Machine(devices, serial, vcpus, stack.move());
}

/** Starts threads one a turn of the event loop: each blocks main for some 10 ms, and the guest runs already. */
class ThreadStarter {
  #stopped = false;

  constructor(starts: readonly (() => void)[]) {
    this.#run(starts);
  }

  async #run(starts: readonly (() => void)[]): Promise<void> {
    for (const start of starts) {
      await nextTask();
      if (this.#stopped) return;
      start();
    }
  }

  stop(): void {
    this.#stopped = true;
  }
}

function requireKvm(kvm: KvmSystem, cpus: number): void {
  for (const { name, number, required, use } of CAPABILITIES) {
    if (required && kvm.capability(number) === 0) {
      throw new HostError(
        `KVM lacks ${name} (${use}); update the host's kernel`,
      );
    }
  }
  const most = kvm.capability(KVM_CAP_MAX_VCPUS);
  if (most > 0 && cpus > most) {
    throw new HostError(`KVM runs at most ${most} vCPUs here; lower cpus`);
  }
}

function machineTables(config: VmConfig) {
  return {
    cpus: config.cpus,
    devices: config.devices.map(({ index }) => ({
      base: VIRTIO_MMIO_BASE + index * VIRTIO_MMIO_STRIDE,
      size: VIRTIO_MMIO_STRIDE,
      gsi: VIRTIO_GSI_BASE + index,
    })),
  };
}

function createLoop(
  config: VmConfig,
  words: Words,
  devices: DeviceSet,
  port: SerialPort,
  serial: SerialConsole,
  events: MachineEvents,
): EventLoop {
  const com1: Region = {
    name: "serial",
    base: COM1,
    size: COM1_SIZE,
    inline: { kind: "serial" },
    target: {
      sizes: { min: 1, max: 1 },
      read: (offset) => port.read(offset),
      write: (offset, _size, value) => void port.write(offset, value),
    },
  };
  return new EventLoop({
    words,
    vcpus: config.cpus,
    mmio: devices.regions,
    pio: [com1, ...powerRegions((event) => events.onPower(event))],
    onTurn: () => serial.turn(),
    onFailure: (cause) =>
      events.onVcpuExit(0, { reason: "failure", detail: String(cause) }),
  });
}

function vcpuRange({ start, end, offset, inline }: FlatRange): VcpuRange {
  return { start, end, offset, inline };
}
