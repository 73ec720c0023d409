// A VM in a process that closes itself first, and that may be taken over while the guest runs.

import { closeProcess } from "../../../core/sandbox/closing.ts";
import { attack, type Targets } from "./attacks.ts";

const [config, targets] = Deno.args;
closeProcess();
const print = (text: string) =>
  Deno.stdout.writeSync(new TextEncoder().encode(text));

const { starterOf, Vm } = await import("../../../core/vm.ts");
const sandbox = "off";
const starter = await starterOf({ sandbox });
await using vm = await Vm.launch(JSON.parse(config!), { sandbox, starter });
let attacked = targets === undefined;
for await (const bytes of vm.console!.readable) {
  Deno.stdout.writeSync(bytes);
  if (attacked) continue;
  attacked = true;
  // Its owner says when.
  Deno.stdin.readSync(new Uint8Array(1));
  const results = attack(JSON.parse(targets!) as Targets);
  print(`${JSON.stringify(results)}\n`);
}
const { reason } = await vm.wait();
print(reason);
