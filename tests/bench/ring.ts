// What a chain costs the device's side of a ring, pop and add used, against the same in C; and that it makes no garbage.
import {
  compile,
  denoCommand,
  inFolder,
  noCompiler,
  output,
} from "./paddock.ts";
import { inTurns, median, type Row, type Section } from "./report.ts";
import type { Format, Shape } from "./ring_driver.ts";
import type { RingSample } from "./ring_side.ts";

const SIDE = new URL("ring_side.ts", import.meta.url).pathname;
const CHAINS = 2_000_000;
const ALLOCATION_CHAINS = 10_000_000;
const ROUNDS = 5;
const GOAL = 3;
/** A heap number is 16 bytes: a chain that made any object would need more than this. */
const NO_ALLOCATION = 1;
const TITLE = "ring: pop and add used, against the same loop in C";
const FORMATS: readonly Format[] = ["split", "packed"];
const SHAPES: Readonly<Record<Shape, string>> = {
  "1": "1 descriptor",
  "3": "3 descriptors",
  table: "indirect table of 3",
};

export async function measureRings(): Promise<Section> {
  const skipped = await noCompiler();
  if (skipped !== undefined) return { title: TITLE, rows: [], skipped };
  return await inFolder(async (folder) => {
    const loop = await compile("ring_loop", folder);
    const rows: Row[] = [];
    const notes: string[] = [];
    for (const format of FORMATS) {
      for (const shape of Object.keys(SHAPES) as Shape[]) {
        rows.push(await compare(loop, format, shape));
        notes.push(await allocation(format, shape));
      }
    }
    return {
      title: TITLE,
      rows,
      notes: [
        `a chain, median of ${ROUNDS} runs in turns, each the median batch; 4 GiB of RAM,`,
        "buffers above the device hole; the driver's work is not timed",
        `V8's heap over ${ALLOCATION_CHAINS} chains:`,
        ...notes,
      ],
    };
  });
}

async function compare(loop: string, format: Format, shape: Shape) {
  const args = [format, shape, `${CHAINS}`];
  const { paddock, c } = await inTurns(ROUNDS, {
    paddock: () => sample(denoCommand(SIDE, ...args)),
    c: () => sample(new Deno.Command(loop, { args })),
  });
  if (paddock[0]?.sum !== c[0]?.sum) {
    throw new Error(`The two sides did not do the same for ${args}`);
  }
  const each = (all: readonly RingSample[]) => median(all.map(({ ns }) => ns));
  return {
    name: `${format}, ${SHAPES[shape]}`,
    unit: "ns",
    value: each(paddock),
    reference: each(c),
    goal: GOAL,
  };
}

async function allocation(format: Format, shape: Shape): Promise<string> {
  const command = denoCommand(
    SIDE,
    format,
    shape,
    `${ALLOCATION_CHAINS}`,
    "bytes",
  );
  const bytes = (await sample(command)).bytes ?? NaN;
  const each = bytes / ALLOCATION_CHAINS;
  const verdict = each < NO_ALLOCATION ? "nothing" : "SOMETHING";
  return `  ${`${format}, ${SHAPES[shape]}`.padEnd(30)}${
    each.toFixed(2).padStart(7)
  } bytes a chain: ${verdict} is allocated`;
}

async function sample(command: Deno.Command): Promise<RingSample> {
  return JSON.parse(await output(command));
}
