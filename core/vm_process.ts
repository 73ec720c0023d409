// Thread: main
// A process that runs one VM for the process that started it, which it hears on stdin and tells on stdout, as they were
// at its start: devices in workers have Deno.stdin and Deno.stdout too.
import { closeProcess, FIRST_FD } from "./sandbox/closing.ts";
import { UnixSocket } from "./sys/unix_socket.ts";
import { Broker } from "./vhost_user/broker.ts";
import { takeStandardStreams } from "./sys/standard_streams.ts";
import { encodeLine, readLines } from "./sys/json_lines.ts";
import { askOwner } from "./sys/thread_mark.ts";
import { localStarter } from "./local_vm.ts";
import type { DeviceError } from "./errors.ts";
import type { EmitVmEvent, VmBackend, VmExit } from "./vm_backend.ts";
import {
  type FromVm,
  plainError,
  SERIAL_WINDOW,
  type ToVm,
} from "./vm_messages.ts";

closeProcess();
const owner = takeStandardStreams();
askOwner((mark) => void send({ type: "lower-priority", mark }));
// The only descriptor that spawnVm() (remote_vm.ts) hands over.
const broker = new Broker(new UnixSocket(FIRST_FD));
// vCPU 0's thread comes up while the owner says what to run.
const starter = localStarter((index, path) => broker.connect(index, path));

const output = owner.writable.getWriter();
/** In order; the owner always reads. */
function send(message: FromVm): Promise<void> {
  return output.write(encodeLine(message));
}

let vm: VmBackend | null = null;
let serialInFlight = 0;
let serialRoom: (() => void) | null = null;
let serialDone: Promise<void> = Promise.resolve();
let ended = false;

const emit: EmitVmEvent = (name, detail) => {
  if (name === "exit") return void leave(detail as VmExit);
  const plain = name === "devicefault"
    ? plainError(detail as DeviceError)
    : detail;
  send({ type: "event", name, detail: plain });
};

/** What the guest said last comes before its end. */
async function leave(exit: VmExit): Promise<void> {
  ended = true;
  serialRoom?.();
  await serialDone;
  await send({ type: "event", name: "exit", detail: exit });
  Deno.exit();
}

async function start({ config, trace }: ToVm & { type: "start" }) {
  try {
    const local = await starter.start(config, emit, { trace });
    vm = local;
    local.loaded.then(() => send({ type: "loaded" }));
    for (const { name } of config.devices) relay(name);
    serialDone = pumpSerial(vm);
    await send({ type: "ready" });
  } catch (error) {
    await send({ type: "failed", error: plainError(error) });
    Deno.exit(1);
  }
}

function relay(device: string): void {
  const port = vm!.port(device);
  if (port === undefined) return;
  port.onmessage = (data) => void send({ type: "port", device, data });
}

async function pumpSerial({ serial }: VmBackend): Promise<void> {
  for await (const bytes of serial.readable) {
    serialInFlight += bytes.length;
    await send({ type: "serial", bytes });
    while (serialInFlight > SERIAL_WINDOW && !ended) {
      await new Promise<void>((resolve) => serialRoom = resolve);
    }
  }
}

async function call(
  { id, name, device, options }: ToVm & { type: "call" },
) {
  try {
    const value = name === "reload"
      ? await vm?.reload(device, options)
      : await vm?.[name]();
    await send({ type: "reply", id, value: value ?? null });
  } catch (error) {
    await send({ type: "reply", id, value: null, error: `${error}` });
  }
}

let serialInput: WritableStreamDefaultWriter<Uint8Array> | null = null;

async function giveSerial(bytes: Uint8Array): Promise<void> {
  serialInput ??= vm?.serial.writable.getWriter() ?? null;
  await serialInput?.write(bytes);
  await send({ type: "serial-given", length: bytes.length });
}

function obey(message: ToVm): void {
  switch (message.type) {
    case "start":
      return void start(message);
    case "call":
      return void call(message);
    case "end":
      return void vm?.end(message.exit);
    case "port":
      return vm?.port(message.device)?.postMessage(message.data);
    case "serial":
      return void giveSerial(message.bytes);
    case "serial-taken":
      serialInFlight -= message.length;
      return serialRoom?.();
  }
}

for await (const message of readLines(owner.readable)) {
  obey(message as ToVm);
}
// Nobody is left to hear of the VM.
Deno.exit(1);
