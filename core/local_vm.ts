// Thread: main
// A VM that runs in this process: its machine, what that tells, and the one reason for which it ends.
import { closeBoot, openBoot } from "./image/boot_source.ts";
import { type Machine, startMachine } from "./machine.ts";
import type { VmConfig } from "./manifest/config.ts";
import type { VcpuExit } from "./vcpu/messages.ts";
import { VcpuHandle } from "./vcpu/handle.ts";
import type { ConnectTo } from "./vhost_user/attach.ts";
import type {
  EmitVmEvent,
  StartOptions,
  VmBackend,
  VmExit,
  VmStarter,
} from "./vm_backend.ts";

const POWER = {
  poweroff: "the guest powered off",
  reboot: "the guest rebooted",
  panic: "the guest's kernel panicked",
} as const;

export interface LocalVm extends VmBackend {
  /** Resolves when the threads of its devices have loaded their code, or failed to. */
  readonly loaded: Promise<unknown>;
}

/** It needs no walls: it is behind them, or wants none. */
interface LocalStarter extends VmStarter {
  start(
    config: VmConfig,
    emit: EmitVmEvent,
    options: StartOptions,
  ): Promise<LocalVm>;
}

/** A VM in this process; vCPU 0's thread starts up at once. `connectTo` is for a process that may make no sockets. */
export function localStarter(connectTo?: ConnectTo): LocalStarter {
  const vcpu0 = new VcpuHandle();
  return {
    start: (config, emit, options) =>
      start(config, vcpu0, emit, options, connectTo),
    abandon: () => vcpu0.abandon(),
  };
}

async function start(
  config: VmConfig,
  vcpu0: VcpuHandle,
  emit: EmitVmEvent,
  options: StartOptions,
  connectTo: ConnectTo | undefined,
): Promise<LocalVm> {
  const image = await openBoot(config.boot, options);
  // The guest may end while the machine is still being assembled.
  const assembled = Promise.withResolvers<Machine>();
  let ending: Promise<void> | null = null;
  const end = (exit: VmExit) =>
    ending ??= stop(assembled.promise, exit).then((exit) => emit("exit", exit));
  try {
    const machine = await startMachine(
      config,
      image,
      vcpu0,
      {
        onRunning: () => emit("started", null),
        onPower: (event) => {
          if (event === "panic") emit("guestpanic", null);
          end({ reason: event, detail: POWER[event] });
        },
        onVcpuExit: (vcpu, exit) => void end(vcpuExit(vcpu, exit)),
        onDriverError: (device, section, message) =>
          emit("drivererror", { device, section, message }),
        onFault: (error) => emit("devicefault", error),
        onLog: (device, message) => emit("log", { device, message }),
        onTrace: (device, event) => emit("trace", { device, event }),
      },
      options.trace,
      connectTo,
    );
    assembled.resolve(machine);
    return backendOf(config, machine, end);
  } finally {
    closeBoot(image);
  }
}

function backendOf(
  { devices }: VmConfig,
  machine: Machine,
  end: (exit: VmExit) => Promise<void>,
): LocalVm {
  const { hosts } = machine.devices;
  const own = hosts.filter((_, index) => devices[index]!.backEnd === undefined);
  const host = (name: string) => hosts.find((host) => host.name === name);
  return {
    serial: machine.serial,
    loaded: Promise.all(own.map(({ declared }) => declared)),
    port: (device) => host(device)?.port,
    statistics: () => Promise.resolve(machine.statistics),
    pause: () => machine.pause(),
    resume: () => machine.resume(),
    reload: (device, options) => Promise.resolve(host(device)?.reload(options)),
    end,
  };
}

/** Everything is given back before anybody hears of the end. */
async function stop(machine: Promise<Machine>, exit: VmExit): Promise<VmExit> {
  try {
    await (await machine).stop();
    return exit;
  } catch (error) {
    return { reason: "failure", detail: `could not be stopped: ${error}` };
  }
}

function vcpuExit(vcpu: number, { reason, detail }: VcpuExit): VmExit {
  const known = reason === "triple-fault" || reason === "internal-error";
  return {
    reason: known ? reason : "failure",
    detail: `vCPU ${vcpu}: ${detail}`,
  };
}
