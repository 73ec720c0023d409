// Resident memory of the hello VM beyond what its guest has touched of its RAM, against bare Deno.
import {
  denoCommand,
  HELLO,
  inFolder,
  noKvm,
  paddockCommand,
} from "./paddock.ts";
import { inTurns, median, type Row, type Section } from "./report.ts";

const ROUNDS = 5;
const TITLE = "memory: resident beyond guest RAM, against bare Deno";
const GUEST_RAM = "paddock-ram";
const READY = { paddock: "Goodbye", deno: "ready" };

/** MiB. */
interface Sample {
  readonly rss: number;
  /** Shared pages divided by those that share them. */
  readonly pss: number;
  readonly guest: number;
}

export async function measureMemory(): Promise<Section> {
  const skipped = await noKvm();
  if (skipped !== undefined) return { title: TITLE, rows: [], skipped };
  return await inFolder(async (folder) => {
    const manifest = `${folder}/vm.json`;
    const boot = { kernel: HELLO, cmdline: "exit=hang" };
    const devices = [
      { use: "console" },
      { use: "block", path: "disk.img", size: "1M" },
      { use: "rng" },
    ];
    const vm = { memory: "32M", boot, devices };
    await Deno.writeTextFile(manifest, JSON.stringify(vm));
    const idle = `${folder}/idle.ts`;
    await Deno.writeTextFile(
      idle,
      'console.log("ready"); setInterval(() => {}, 1e6);',
    );
    const samples = await inTurns(ROUNDS, {
      paddock: () => sample(paddockCommand(manifest), READY.paddock),
      deno: () => sample(denoCommand(idle), READY.deno),
    });
    const guest = median(samples.paddock.map(({ guest }) => guest));
    return {
      title: TITLE,
      rows: [
        row("RSS, hello VM with three devices", "rss", samples),
        row("PSS", "pss", samples),
      ],
      notes: [
        `the guest has touched ${Math.round(guest * 1024)} KiB of its RAM`,
      ],
    };
  });
}

function row(
  name: string,
  key: "rss" | "pss",
  samples: Record<"paddock" | "deno", readonly Sample[]>,
): Row {
  const of = (all: readonly Sample[]) => median(all.map((each) => each[key]));
  const value = of(samples.paddock);
  return { name, unit: "MiB", value, reference: of(samples.deno), goal: null };
}

/** Looks at the process when it has said `ready`, then ends it. */
async function sample(command: Deno.Command, ready: string): Promise<Sample> {
  const child = command.spawn();
  try {
    const text = child.stdout.pipeThrough(new TextDecoderStream());
    let said = "";
    for await (const chunk of text) {
      said += chunk;
      if (said.includes(ready)) break;
    }
    if (!said.includes(ready)) {
      throw new Error(`The process ended early: ${said}`);
    }
    return parseSmaps(await Deno.readTextFile(`/proc/${child.pid}/smaps`));
  } finally {
    child.kill("SIGKILL");
    await child.stderr.cancel();
    await child.status;
  }
}

/** /proc/PID/smaps: a mapping's line with its addresses and name, then its counters in kB. */
export function parseSmaps(text: string): Sample {
  let isGuest = false;
  let rss = 0, pss = 0, guest = 0;
  for (const line of text.split("\n")) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) isGuest = line.includes(GUEST_RAM);
    const [, name, size] = /^(Rss|Pss): +([0-9]+) kB$/.exec(line) ?? [];
    if (name === undefined) continue;
    if (isGuest && name === "Rss") guest += Number(size) / 1024;
    else if (!isGuest && name === "Rss") rss += Number(size) / 1024;
    else if (!isGuest) pss += Number(size) / 1024;
  }
  return { rss, pss, guest };
}
