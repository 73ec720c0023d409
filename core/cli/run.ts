// Thread: main
// `paddock run`: a VM with this terminal as its console.
import { beforeFirstRecord } from "../log.ts";
import { readManifestOrDefault } from "../manifest/source.ts";
import { formatTrace } from "../virtio/trace.ts";
import {
  type ExitReason,
  starterOf,
  Vm,
  type VmEvents,
  type VmExit,
} from "../vm.ts";
import type { ArgsOf } from "./args.ts";
import { printNote } from "./output.ts";
import { Terminal } from "./terminal.ts";
import { watchPlugins } from "./watch.ts";

/** Exit statuses, as `--help` lists them. */
const STATUS: Readonly<Record<ExitReason, number>> = {
  "poweroff": 0,
  "stopped": 0,
  "failure": 1,
  "reboot": 3,
  "triple-fault": 4,
  "internal-error": 5,
  "panic": 6,
  "killed": 1,
};
/** 128 and the signal's number, as shells have it. */
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** What the user may do about an end that is not the guest's wish. */
const HINT: Partial<Record<ExitReason, string>> = {
  "internal-error":
    "this host's KVM cannot run the guest; see `paddock doctor`",
  "triple-fault": "the guest's kernel broke down before it could say why",
};

export async function run(args: ArgsOf<"run">): Promise<number> {
  beforeFirstRecord(async () =>
    (await import("./logging.ts")).configureLogging(args)
  );
  using terminal = new Terminal();
  await using vm = await start(args, terminal.interactive);
  if (args.trace.length > 0) vm.on("trace", traceTo(args));
  let status: number | null = null;
  const interrupted = Promise.withResolvers<void>();
  const listeners = Object.entries(SIGNALS).map(([name, code]) => {
    const listener = () => {
      // Whoever asks twice does not want to wait for devices any more.
      if (status !== null) Deno.exit(code);
      status = code;
      vm.kill().then(interrupted.resolve);
    };
    Deno.addSignalListener(name as Deno.Signal, listener);
    return () => Deno.removeSignalListener(name as Deno.Signal, listener);
  });
  using _watcher = args.watch ? watchPlugins(vm) : null;
  const output = connect(vm, terminal);
  const exit = await vm.wait();
  // The reader of stdout may have stalled; then a signal must end this all the same.
  await Promise.race([output, interrupted.promise]);
  for (const remove of listeners) remove();
  report(args, exit);
  return status ?? STATUS[exit.reason];
}

async function start(
  args: ArgsOf<"run">,
  interactive: boolean,
): Promise<Vm> {
  const starter = await starterOf(args.walls);
  try {
    const config = readManifestOrDefault(args.manifest, args.script);
    return await Vm.launch(config, {
      starter,
      ...args.walls,
      mode: interactive ? "shell" : "tour",
      onProgress: printNote,
      trace: args.trace,
      rebind: args.watch,
    });
  } catch (error) {
    starter.abandon();
    throw error;
  }
}

/** Connects console and serial port with stdin and stdout; resolves when all output is out. */
function connect(vm: Vm, terminal: Terminal): Promise<unknown> {
  const { console } = vm;
  terminal.attach(console);
  const input = (console ?? vm.serial).writable.getWriter();
  terminal.read((bytes) => input.write(bytes), () => vm.stop()).catch(() => {
    // stdin went away: the guest goes on without.
  });
  const outputs = [
    ...(console === null ? [] : [console.readable]),
    ...(vm.config.serial ? [vm.serial.readable] : []),
  ];
  const stdout = Deno.stdout.writable.getWriter();
  return Promise.all(outputs.map((output) => copyOut(output, stdout)));
}

/** By a writer that the outputs share: a pipe would lock stdout against the second one. */
async function copyOut(
  from: ReadableStream<Uint8Array>,
  to: WritableStreamDefaultWriter<Uint8Array>,
): Promise<void> {
  try {
    for await (const bytes of from) await to.write(bytes);
  } catch {
    // Nobody reads stdout any more; the stream is cancelled, so that the guest does not stall.
  }
}

/** A line a trace event, with the seconds since the start. */
function traceTo(args: ArgsOf<"run">): (detail: VmEvents["trace"]) => void {
  const begin = performance.now();
  return ({ device, event }) => {
    const time = ((performance.now() - begin) / 1000).toFixed(6);
    printNote(
      args.json
        ? JSON.stringify({ time: Number(time), device, ...event })
        : `${time.padStart(11)}  ${formatTrace(device, event)}`,
    );
  };
}

function report(args: ArgsOf<"run">, exit: VmExit): void {
  const { reason, detail } = exit;
  if (args.json) return printNote(JSON.stringify({ event: "exit", ...exit }));
  const hint = HINT[reason];
  printNote(`paddock: ${detail}${hint === undefined ? "" : `; ${hint}`}`);
}
