// Thread: main
// A process of one device that is not trusted: its plugin in a worker without FFI, and vhost-user to the VM.
import { DeviceError } from "../errors.ts";
import { HostDisk } from "../device/host_disk.ts";
import type { DiskConfig, PermissionSet } from "../manifest/built_in.ts";
import type { VirtioConfig } from "../manifest/config.ts";
import { closeProcess } from "../sandbox/closing.ts";
import { readLines } from "../sys/json_lines.ts";
import { askOwner } from "../sys/thread_mark.ts";
import { UnixSocket } from "../sys/unix_socket.ts";
import type { TraceKind } from "../virtio/trace.ts";
import { BackEnd } from "./back_end.ts";
import {
  ControlChannel,
  type FromDevice,
  isToDevice,
  type ToDevice,
} from "./control.ts";
import { EndSignals } from "./end_signals.ts";
import { Listener } from "./listener.ts";

/** What this process is told, as a line of JSON on stdin. Its sockets it inherits: it makes none. */
export interface DeviceProcessInit {
  readonly name: string;
  /** URL of the device's module. */
  readonly module: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly grants: PermissionSet;
  readonly disk?: DiskConfig | undefined;
  readonly virtio: VirtioConfig;
  readonly trace?: readonly TraceKind[];
  /** Number of a socket that is bound, for front ends. */
  readonly socket: number;
  /** Number of a socket that is connected to its owner (control.ts). */
  readonly control: number;
}

closeProcess();
// A device that is cut off here ends with its process.
askOwner(() => {});
const init = await readInit();
Deno.exit(await serve(init));

async function readInit(): Promise<DeviceProcessInit> {
  for await (const message of readLines(Deno.stdin.readable)) {
    return message as DeviceProcessInit;
  }
  Deno.exit(2);
}

/** Returns the process's exit status. */
async function serve(init: DeviceProcessInit): Promise<number> {
  const { name, disk: image } = init;
  using end = new EndSignals();
  try {
    using disk = image ? new HostDisk(image, name) : undefined;
    const { backEnd, control } = open(init, disk);
    await backEnd.start();
    control.send({ type: "declared", declaration: backEnd.host.declaration });
    const socket = new UnixSocket(init.socket);
    // Whoever connects from now on is answered at once.
    socket.listen();
    using listener = new Listener(socket);
    end.act(() => {
      listener.close();
      backEnd.hangUp();
    });
    await backEnd.serveAll(listener);
    await backEnd.close();
    await control.close();
    return 0;
  } catch (error) {
    // A device's faults are told on their own way.
    if (!(error instanceof DeviceError)) tell(`${error}`);
    return 1;
  }
}

function open(init: DeviceProcessInit, disk: HostDisk | undefined) {
  const { trace = [] } = init;
  const control = new ControlChannel<ToDevice, FromDevice>(
    new UnixSocket(init.control),
    isToDevice,
  );
  const say = (message: FromDevice) => control.send(message);
  const backEnd: BackEnd = new BackEnd({
    ...init,
    // Its imports need no launcher: this process has no more rights than the device, but for what Paddock is.
    builtIn: true,
    trace,
    onTrace: (event) => say({ type: "trace", event }),
    punchHole: (offset, length) => disk?.punchHole(offset, length) ?? false,
    onDriverError: (section, message) =>
      say({ type: "driver-error", section, message }),
    onFault: ({ message }) => say({ type: "failed", message }),
    onLog: (message) => say({ type: "log", message }),
    onViolation: (message) =>
      say({ type: "log", message: `its front end ${message}` }),
  });
  backEnd.host.port.onmessage = (data) => say({ type: "port", data });
  hear(control, backEnd);
  return { backEnd, control };
}

/** Hands on what the owner posts, until it hangs up. */
async function hear(
  control: ControlChannel<ToDevice, FromDevice>,
  backEnd: BackEnd,
): Promise<void> {
  try {
    for await (const { data } of control.messages()) {
      backEnd.host.port.postMessage(data);
    }
  } catch {
    // An owner that sends what is no message is not heard any more.
  }
}

function tell(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${line}\n`));
}
