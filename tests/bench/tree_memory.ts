// The memory of a process and all that it started, when its guest hangs.
import { parseSmaps } from "./memory.ts";

/** MiB: PSS without guest RAM, once the guest has said Goodbye. */
export async function treeMemory(command: Deno.Command): Promise<number> {
  await using child = command.spawn();
  const errors = child.stderr.cancel();
  let text = "";
  const output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  while (!text.includes("Goodbye")) {
    const { done, value } = await output.read();
    if (done) throw new Error(`The guest did not come up: ${text}`);
    text += value;
  }
  // Threads that were only for the start end.
  await new Promise((resolve) => setTimeout(resolve, 500));
  const pss = family(child.pid).map((pid) =>
    parseSmaps(Deno.readTextFileSync(`/proc/${pid}/smaps`)).pss
  ).reduce((sum, each) => sum + each, 0);
  child.kill("SIGKILL");
  await Promise.all([output.cancel(), errors, child.status]);
  return pss;
}

function family(pid: number): number[] {
  const children = [...Deno.readDirSync(`/proc/${pid}/task`)].flatMap(
    ({ name }) =>
      Deno.readTextFileSync(`/proc/${pid}/task/${name}/children`).split(" "),
  ).map(Number).filter((child) => child > 0);
  return [pid, ...children.flatMap(family)];
}
