// Thread: main
// `paddock run`: a VM with this terminal as its console.
import { beforeFirstRecord } from "../log.ts";
import { readManifestOrDefault } from "../manifest/source.ts";
import { formatTrace } from "../virtio/trace.ts";
import { starterOf, Vm, type VmEvents } from "../vm.ts";
import type { ArgsOf } from "./args.ts";
import { type Ending, report, statusOf } from "./ending.ts";
import { LinuxWatch } from "./linux_watch.ts";
import { printNote } from "./output.ts";
import { Terminal } from "./terminal.ts";
import { watchPlugins } from "./watch.ts";

/** 128 and the signal's number, as shells have it. */
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

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
  const ending = await endOf(vm, args);
  // The reader of stdout may have stalled; then a signal must end this all the same.
  await Promise.race([output, interrupted.promise]);
  for (const remove of listeners) remove();
  report(ending, args.json);
  return status ?? statusOf(ending);
}

/** Waits for the end of a machine that has just started. */
async function endOf(
  vm: Vm,
  { manifest, script }: ArgsOf<"run">,
): Promise<Ending> {
  const absent = new Set<string>();
  vm.on("devicefault", (error) => {
    if (error.absent) absent.add(error.device);
  });
  using linux = new LinuxWatch(vm, { manifest, script });
  const exit = await vm.wait();
  return { ...linux.verdict ?? exit, absent: [...absent] };
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
