// Thread: main
// A process that runs one VM for the process that started it, which it hears on stdin and tells on stdout.
import { closeProcess } from "./sandbox/closing.ts";
import { encodeLine, readLines } from "./sys/json_lines.ts";
import { askOwner } from "./sys/thread_mark.ts";
import { localStarter } from "./local_vm.ts";
import type { DeviceError } from "./errors.ts";
import type { EmitVmEvent, VmBackend, VmExit } from "./vm_backend.ts";
import {
  type FromVm,
  LONGEST,
  plainError,
  SERIAL_WINDOW,
  type ToVm,
} from "./vm_messages.ts";

closeProcess();
askOwner((mark) => void send({ type: "lower-priority", mark }));
// vCPU 0's thread comes up while the owner says what to run.
const starter = localStarter();

const output = Deno.stdout.writable.getWriter();
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
    vm = await starter.start(config, emit, { trace });
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

async function call({ id, name, device = "" }: ToVm & { type: "call" }) {
  try {
    const value = name === "reload"
      ? await vm?.reload(device)
      : await vm?.[name]();
    await send({ type: "reply", id, value: value ?? null });
  } catch (error) {
    await send({ type: "reply", id, value: null, error: `${error}` });
  }
}

let serialInput: WritableStreamDefaultWriter<Uint8Array> | null = null;

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
      serialInput ??= vm?.serial.writable.getWriter() ?? null;
      return void serialInput?.write(message.bytes);
    case "serial-taken":
      serialInFlight -= message.length;
      return serialRoom?.();
  }
}

for await (const message of readLines(Deno.stdin.readable, LONGEST)) {
  obey(message as ToVm);
}
// Nobody is left to hear of the VM.
Deno.exit(1);
