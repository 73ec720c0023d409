// Thread: main
// A process of one device that is not trusted: its plugin in a worker without FFI, and vhost-user to the VM.
import { HostDisk } from "../device/host_disk.ts";
import type { DiskConfig, PermissionSet } from "../manifest/built_in.ts";
import type { VirtioConfig } from "../manifest/config.ts";
import { closeProcess } from "../sandbox/closing.ts";
import { decodeLine, readLines } from "../sys/json_lines.ts";
import { UnixSocket } from "../sys/unix_socket.ts";
import type { TraceKind } from "../virtio/trace.ts";
import { BackEnd } from "./back_end.ts";
import { claimSocket } from "./claim_socket.ts";
import type { FromDevice } from "./control.ts";
import { ControlServer } from "./control_server.ts";
import { EndSignals } from "./end_signals.ts";
import { Listener } from "./listener.ts";

/** What this process is told, as a line of JSON on stdin or as its one argument. */
export interface DeviceProcessInit {
  readonly name: string;
  /** URL of the device's module. */
  readonly module: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly grants: PermissionSet;
  readonly disk?: DiskConfig | undefined;
  readonly virtio: VirtioConfig;
  readonly trace?: readonly TraceKind[];
  /** Where to listen for front ends: a path, or the number of a listening socket that was inherited. */
  readonly socket: string | number;
  /** Where to listen for the VM's control connection (control.ts). */
  readonly control: string | null;
}

closeProcess();
const init = await readInit();
Deno.exit(await serve(init));

async function readInit(): Promise<DeviceProcessInit> {
  const [argument] = Deno.args;
  if (argument !== undefined) return decodeLine(argument) as DeviceProcessInit;
  for await (const message of readLines(Deno.stdin.readable)) {
    return message as DeviceProcessInit;
  }
  Deno.exit(2);
}

/** Returns the process's exit status. */
async function serve(init: DeviceProcessInit): Promise<number> {
  const { name, socket, disk: image } = init;
  using end = new EndSignals();
  try {
    using disk = image ? new HostDisk(image, name) : undefined;
    const { backEnd, control } = open(init, disk);
    await backEnd.start();
    control?.send({ type: "declared", declaration: backEnd.host.declaration });
    using listener = new Listener(
      typeof socket === "string" ? claimSocket(socket) : new UnixSocket(socket),
    );
    end.act(() => {
      listener.close();
      backEnd.hangUp();
    });
    await backEnd.serveAll(listener);
    await backEnd.close();
    await control?.close();
    return 0;
  } catch (error) {
    tell(`${name}: ${error instanceof Error ? error.message : error}`);
    return 1;
  }
}

function open(init: DeviceProcessInit, disk: HostDisk | undefined) {
  const { control: path, trace = [] } = init;
  const backEndOf = (say: (message: FromDevice) => void) =>
    new BackEnd({
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
  if (path === null) {
    return { backEnd: backEndOf(print), control: null };
  }
  const control: ControlServer = new ControlServer(
    claimSocket(path),
    ({ data }) => backEnd.host.port.postMessage(data),
  );
  const backEnd = backEndOf((message) => control.send(message));
  backEnd.host.port.onmessage = (data) => control.send({ type: "port", data });
  return { backEnd, control };
}

/** Where there is no VM to tell, the user is told. */
function print(message: FromDevice): void {
  if ("message" in message) tell(message.message);
}

function tell(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${line}\n`));
}
