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
      paddock: () =>
        sample(paddockCommand(manifest, "--sandbox=off"), READY.paddock),
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

/**
 * /proc/PID/smaps: of each mapping its addresses and name, counters in kB, and last its flags. Guest RAM is what may
 * be written ("wr") and is left out of core dumps ("dd"): it has no name where it is anonymous memory.
 */
export function parseSmaps(text: string): Sample {
  const total = { rss: 0, pss: 0, guest: 0 };
  let rss = 0, pss = 0;
  for (const line of text.split("\n")) {
    const [, name, value = ""] = /^(Rss|Pss|VmFlags): *(.*)$/.exec(line) ?? [];
    if (name === "Rss") rss = parseInt(value) / 1024;
    if (name === "Pss") pss = parseInt(value) / 1024;
    if (name !== "VmFlags") continue;
    const flags = value.split(" ");
    if (flags.includes("wr") && flags.includes("dd")) {
      total.guest += rss;
    } else {
      total.rss += rss;
      total.pss += pss;
    }
  }
  return total;
}
